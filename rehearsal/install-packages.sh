#!/bin/sh
# Installs the Debian packages that a list names, one a line with a comment behind it:
#   rehearsal/install-packages.sh rehearsal/debian-packages.txt
# Root installs what is missing. Anybody else is told what to ask root for, and goes on: not every command
# needs all of them, and each says so when it does.
set -eu
wanted=$(sed 's/#.*//' "$1")
missing=
for package in $wanted; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "Not installed:$missing. As root: apt-get install --no-install-recommends$missing" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# shellcheck disable=SC2086 # a list of names
exec apt-get -qq install --no-install-recommends -y $missing
