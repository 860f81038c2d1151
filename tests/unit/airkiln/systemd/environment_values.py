"""Values that a careless EnvironmentFile would change. Every one must reach a process byte for byte.

Checked against systemd 257 (257.13-1~deb13u1) on Debian 13: each arrived unchanged.
"""

PRINTABLE_ASCII = "".join(map(chr, range(0x20, 0x7F)))

EVERY_UTF8_BYTE = "".join(
    [
        *(chr(code) for code in range(0xC0, 0x100)),  # every continuation byte, 80 to BF
        *(chr(lead << 6 & 0x7C0) for lead in range(0x02, 0x20)),  # lead bytes C2 to DF
        *(chr(code) for code in (0x0800, *range(0x1000, 0xD000, 0x1000), 0xD7FF, 0xE000, 0xFFFD)),  # E0 to EF
        *(chr(code) for code in (0x10000, 0x40000, 0x80000, 0xC0000, 0x10FFFD)),  # F0 to F4
    ]
)

VALUES = {
    "ASCII": PRINTABLE_ASCII,
    "ASCII_BACKWARDS": PRINTABLE_ASCII[::-1],
    "UTF8": EVERY_UTF8_BYTE,
    "BYTE_ORDER_MARK": "\ufeffx\ufeff",
    "C1_CONTROLS": "".join(map(chr, range(0x80, 0xA0))),
    "LINE_SEPARATORS_THAT_ARE_NONE": "a\u2028b\u2029c\u0085d\x0be\x0cf",
    "CONTROLS": "".join(chr(code) for code in range(1, 0x20) if chr(code) not in "\n\r") + "\x7f",
    "LEADING_SPACES": "   x",
    "TRAILING_SPACES": "x   ",
    "ONLY_SPACES": "   ",
    "TABS": "\t a\tb \t",
    "EMPTY": "",
    "QUOTES": "\"'\"'",
    "QUOTED": '"whole"',
    "SINGLE_QUOTED": "'whole'",
    "BACKSLASH": "\\",
    "BACKSLASHES": "\\\\",
    "BACKSLASH_AT_END": "a\\",
    "BACKSLASH_N": "\\n",
    "BACKSLASH_QUOTE": '\\"',
    "DOLLARS": "$HOME ${HOME} $$ $",
    "PERCENTS": "%h %% %n",
    "BACKTICKS": "`id`",
    "COMMENT_FIRST": "#x",
    "COMMENT_WITHIN": "a #b ;c",
    "SEMICOLON_FIRST": ";x",
    "EQUALS": "=a=b=",
    "LONGEST": "x" * 8192,
    "LONGEST_IN_FILE": '"' * 8192,
}
