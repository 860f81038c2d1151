"""Parliament over many policies at once: a JSON list comes on standard input, each one's findings go out.

Runs in the tools' own environment (build/stacks); starting parliament for every policy takes a minute.
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")  # parliament imports pkg_resources, which warns about itself

import parliament  # noqa: E402 - after the filter

findings = []
for document in json.load(sys.stdin):
    policy = parliament.analyze_policy_string(json.dumps(document))
    findings.append([f"{found.issue}: {found.detail} {found.location}" for found in policy.findings])
json.dump(findings, sys.stdout)
