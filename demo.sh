#!/usr/bin/env bash
# The whole way once, on this machine: profile, train, search, export. Ends with a .tflite in hand.
# Usage: demo.sh [folder]   (made anew; default: demo)
set -euo pipefail
cd "$(dirname "$0")"
folder=${1:-demo}
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"

run() {
    printf '\n\033[1m$ %s\033[0m\n' "$*" >&2
    "$@"
}

run evit-profile --device host --space tiny --budget-minutes 2 --json >profile.json
# a target that binds on any machine: halfway from the fastest to the median subnet's latency
target=$(python - <<'PY'
import json

ms = json.load(open("profile.json"))["space_ms"]
print(f"{(ms['fastest'] + ms['median']) / 2:.2g}")
PY
)
run evit-train --json >train.json
run evit-search --target-ms "$target" --json >search.json
run evit-export --format tflite --json >export.json
