#!/bin/sh
# Fetches the Claude Code client that the tests drive, in the version of the file beside this script, and unpacks it
# below ${BURSAR_TEST_CACHE:-<repository>/target/client}. Does nothing when it is there already.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
version=$(cat "$here/version")
cache=${BURSAR_TEST_CACHE:-$here/../../target/client}
place=$cache/claude-$version

say() { printf 'fetch.sh: %s\n' "$*" >&2; }

works() { [ -x "$place/claude" ] && "$place/claude" --version 2>/dev/null | grep -qF "$version"; }

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64 | Linux-arm64) platform=linux-arm64 ;;
    Darwin-x86_64) platform=darwin-x64 ;;
    Darwin-arm64) platform=darwin-arm64 ;;
    *)
        say "no client is published for $(uname -s) on $(uname -m); the tests need Linux or macOS on x64 or arm64"
        exit 1
        ;;
esac

if works; then
    say "client $version is there: $place/claude"
    exit 0
fi
for tool in npm tar; do
    command -v "$tool" >/dev/null 2>&1 || {
        say "$tool is missing; install it (npm comes with Node.js), or name a client in BURSAR_TEST_CLAUDE"
        exit 1
    }
done

mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
package=@anthropic-ai/claude-code-$platform@$version
say "fetching $package (about 175 MB)"
(cd "$work" && npm pack --silent "$package" >packed) || {
    say "npm could not fetch $package; see its message above"
    exit 1
}
tar -xzf "$work/$(tail -n 1 "$work/packed")" -C "$work"
chmod +x "$work/package/claude"
# Moved into place whole, so that an interrupted run leaves nothing half there.
rm -rf "$place"
mv "$work/package" "$place"
works || {
    say "what was unpacked does not run as version $version here: $place/claude"
    exit 1
}
say "client $version is ready: $place/claude"
