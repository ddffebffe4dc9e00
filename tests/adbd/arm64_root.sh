#!/bin/sh
# Makes the root of the emulated arm64 phone: Debian's arm64 adbd, mksh, toybox and Python, and
# LiteRT's library from its arm64 wheel. Nothing is installed on this computer, nobody need be
# root: packages are downloaded with lists of their own and unpacked into a folder.
#
#   arm64_root.sh --where              print the folder; its name follows from this file's content
#   arm64_root.sh MIRROR SUITE ADBD    make it; adbd is taken from the suite ADBD of the mirror
set -eu

LITERT=2.1.0  # the last whose library exports TensorFlow Lite's C interface; qemu 7.2 runs it
version=$(sha256sum <"$0" | cut -c 1-12)
root="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/elasticvit/arm64-$version"
if [ "${1:-}" = --where ]; then
    echo "$root"
    exit 0
fi
if [ -d "$root" ]; then
    echo "arm64 root: already in $root"
    exit 0
fi
mirror=$1 suite=$2 backports=$3
mkdir -p "$(dirname "$root")"
work=$(mktemp -d "$root.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root"
: >"$work/status"
for name in "$suite" "$backports"; do
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [arch=arm64 signed-by=$key] $mirror $name main"
done >"$work/sources.list"
cat >"$work/apt.conf" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Dir::State "$work";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
CONF
export APT_CONFIG="$work/apt.conf"
apt-get update -q
apt-get install -q -y --download-only mksh toybox python3-minimal libpython3-stdlib
apt-get install -q -y --download-only -t "$backports" adbd
for package in "$work"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$work/root"
done
ln -s mksh "$work/root/bin/sh"
rm -rf "$work/root/usr/share" "$work/root/var"

python3 -m venv "$work/venv"
"$work/venv/bin/pip" download -q --no-deps --only-binary=:all: --python-version 3.11 \
    --platform manylinux_2_27_aarch64 -d "$work" "ai-edge-litert==$LITERT"
"$work/venv/bin/python" -m zipfile -e "$work"/ai_edge_litert-*.whl "$work/wheel"
cp "$work/wheel/ai_edge_litert/libLiteRt.so" "$work/root/usr/lib/"

# Python starts twice as fast where its library is compiled, and qemu runs it without namespaces
qemu-aarch64-static -L "$work/root" "$work/root/usr/bin/python3" -I -m compileall -q \
    "$work"/root/usr/lib/python3.*/ >/dev/null || true
chmod -R go+rX "$work/root"
mv -T "$work/root" "$root" || [ -d "$root" ] # another one may have been quicker
echo "arm64 root: made in $root ($(du -sh "$root" | cut -f 1))"
