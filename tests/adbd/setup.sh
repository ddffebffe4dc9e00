#!/bin/sh
# Installs Debian's genuine adbd for the tests of the phone path, and beside it the adb client
# and Android's shell and tools (mksh, toybox). adbd is in the backports suite; it is taken from the mirror that this machine's
# apt already uses. Without root, without apt or without that suite the tests skip and say so.
set -eu

if command -v adbd >/dev/null && command -v adb >/dev/null && command -v toybox >/dev/null; then
    echo "adbd: already installed"
    exit 0
fi
. /etc/os-release 2>/dev/null || ID=unknown
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || [ "$ID" != debian ]; then
    echo "adbd: not installed (needs root on Debian); the tests that need it will skip"
    exit 0
fi

suite="$VERSION_CODENAME-backports"
list=/etc/apt/sources.list.d/elasticvit-backports.list
mirror=$(apt-get indextargets --format '$(URI) $(CODENAME)' 2>/dev/null |
    awk -v suite="$VERSION_CODENAME" '$2 == suite { sub("/dists/.*", "", $1); print $1; exit }')
if [ -z "$mirror" ]; then
    mirror=$(apt-get indextargets --format '$(SITE)' | head -n 1)
fi
if [ -z "$mirror" ]; then
    echo "adbd: apt names no mirror; the tests that need it will skip"
    exit 0
fi
if ! apt-get indextargets --format '$(CODENAME)' | grep -qx "$suite"; then
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$list"
fi
# the package starts adbd as a service, open to the network; these tests start their own
if [ -d /etc/systemd/system ] && [ ! -e /etc/systemd/system/adbd.service ]; then
    ln -s /dev/null /etc/systemd/system/adbd.service
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -q && apt-get install -q -y --no-install-recommends adb mksh toybox &&
    apt-get install -q -y --no-install-recommends -t "$suite" adbd; }; then
    rm -f "$list"
    echo "adbd: installation failed; the tests that need it will skip"
fi
