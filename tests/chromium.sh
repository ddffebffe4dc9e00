#!/bin/sh
# Installs Debian's Chromium, in which the tests open the pages that this project writes. Without
# root or apt those tests skip and say so.
set -eu

skip() {
    echo "chromium: $1; the tests that open pages will skip"
    exit 0
}

for program in chromium chromium-browser google-chrome; do
    if "$program" --version >/dev/null 2>&1; then
        echo "chromium: already installed"
        exit 0
    fi
done
. /etc/os-release 2>/dev/null || ID=unknown
# elsewhere the package of this name is a stub or is not there
[ "$ID" = debian ] || skip "not Debian"
command -v apt-get >/dev/null || skip "no apt"
[ "$(id -u)" = 0 ] || skip "not installed (needs root)"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q || skip "apt-get update failed"
apt-get install -q -y --no-install-recommends chromium || skip "installation failed"
