#!/bin/sh
# Installs what the tests of the phone path need: Debian's genuine adbd, beside it the adb client
# and Android's shell and tools (mksh, toybox), for the emulated arm64 phone qemu and a root of
# arm64 programs, and a compiler for the phone's runner. adbd is in the backports suite; everything
# comes from the mirror that this machine's apt already uses. Without root, without apt or without
# that suite the tests skip and say so.
set -eu

here=$(dirname "$0")
. /etc/os-release 2>/dev/null || ID=unknown
if ! command -v apt-get >/dev/null || [ "$ID" != debian ]; then
    echo "phone tests: not Debian; the tests that need adbd will skip"
    exit 0
fi
suite=$VERSION_CODENAME
backports=$suite-backports
mirror=$(apt-get indextargets --format '$(URI) $(CODENAME)' 2>/dev/null |
    awk -v suite="$suite" '$2 == suite { sub("/dists/.*", "", $1); print $1; exit }')
if [ -z "$mirror" ]; then
    mirror=$(apt-get indextargets --format '$(SITE)' | head -n 1)
fi
if [ -z "$mirror" ]; then
    echo "phone tests: apt names no mirror; the tests that need adbd will skip"
    exit 0
fi

installed() {
    for program in adbd adb mksh toybox qemu-aarch64-static aarch64-linux-gnu-gcc; do
        command -v "$program" >/dev/null || return 1
    done
}

install_programs() {
    list=/etc/apt/sources.list.d/elasticvit-backports.list
    if ! apt-get indextargets --format '$(CODENAME)' | grep -qx "$backports"; then
        key=/usr/share/keyrings/debian-archive-keyring.gpg
        echo "deb [signed-by=$key] $mirror $backports main" >"$list"
    fi
    # the package starts adbd as a service, open to the network; these tests start their own
    if [ -d /etc/systemd/system ] && [ ! -e /etc/systemd/system/adbd.service ]; then
        ln -s /dev/null /etc/systemd/system/adbd.service
    fi
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update -q &&
        apt-get install -q -y --no-install-recommends adb mksh toybox &&
        apt-get install -q -y --no-install-recommends -t "$backports" adbd; }; then
        rm -f "$list"
        echo "adbd: installation failed; the tests that need it will skip"
    fi
    # each alone, so that the other tests do not miss what they need when it is not to be had
    apt-get install -q -y --no-install-recommends qemu-user-static ||
        echo "qemu: installation failed; the tests on an emulated phone will skip"
    apt-get install -q -y --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross ||
        echo "arm64 compiler: installation failed; the tests of evit's own runner on it will skip"
}

if installed; then
    echo "adbd, qemu and compiler: already installed"
elif [ "$(id -u)" = 0 ]; then
    install_programs
else
    echo "adbd, qemu or compiler: not installed (needs root); the tests that need it will skip"
fi

if command -v qemu-aarch64-static >/dev/null; then
    # into the cache of the person who runs the tests, also where that person used sudo
    as_user=${SUDO_USER:+sudo -u $SUDO_USER -H}
    $as_user sh "$here/arm64_root.sh" "$mirror" "$suite" "$backports" ||
        echo "arm64 root: not made; the tests on an emulated phone will skip"
fi
