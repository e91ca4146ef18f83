#!/usr/bin/env bash
# Phase 8 in shards, with nothing but git and Python. docs/ci.md has it step by step.
#
#   ci/phase8.sh plan          what there is to run; the first shard comes first and alone
#   ci/phase8.sh shard NAME    judge one shard here
#   ci/phase8.sh gate          join the shards and judge; exits as `harness gate` does: 0, 1, 2 or 3
#   ci/phase8.sh all           all of it here, one after another
#
# PHASE8_PROFILE  the profile (smollm2)
# PHASE8_SHARED   a folder that all machines see, for artefacts and shards; without it they stay in this checkout
# PHASE8_LANE     refuse to run in any other lane (that of the first shard)
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${PHASE8_PROFILE:-smollm2}
commit=$(git rev-parse HEAD)
shared=${PHASE8_SHARED:-}
run=$(basename "$profile" .toml)-$commit
build=${shared:+$shared/}build
shards=${shared:-reports}/shards/$run
latest=${shared:+$shared/reports/$run}
latest=${latest:-reports/latest}

fail() {
    echo "error: $*" >&2
    exit 2
}

session() {
    [ -x .venv/bin/nox ] || { python3 -m venv .venv && .venv/bin/pip install --quiet -c constraints.txt nox; }
    .venv/bin/nox "$@"
}

plan() {
    [ -n "${lines:-}" ] || lines=$(session -s shards -- --profile "$profile" --build "$build" | grep -E '^[a-z]+=')
}

value() { # NAME: what the plan says of it
    sed -n "s/^$1=//p" <<<"$lines"
}

listed() { # every shard as "name bits variant...", the first one first
    .venv/bin/python -c '
import json, sys
for shard in [json.loads(sys.argv[1]), *json.loads(sys.argv[2])]:
    print(shard["name"], shard["bits"] or "-", *shard["variants"])' "$(value first)" "$(value rest)"
}

shard() { # NAME
    [ -z "$(git status --porcelain)" ] || fail "uncommitted changes: a gate judges commits. Commit them, or take them away."
    plan
    wanted=${PHASE8_LANE:-$(cat "$shards/lane" 2>/dev/null || value lane)}
    [ "$wanted" = "$(value lane)" ] ||
        fail "this machine is of lane $(value lane), the first shard of $wanted: shards need machines of one kind."
    read -r name bits variants < <(listed | awk -v name="$1" '$1 == name') ||
        fail "no shard $1; there are: $(listed | cut -d' ' -f1 | tr '\n' ' ')"
    mkdir -p "$shards"
    value lane >"$shards/lane"
    if [ "$bits" != - ]; then
        session -s "fuse(bits=$bits)" -- --profile "$profile" --build "$build"
    fi
    asked=()
    for variant in $variants; do asked+=(--variant "$variant"); done
    rm -f "$shards/$name/run.json"
    # A shard whose gates fail has still been measured: what that means is for the gate to say.
    session -s phase8 -- --profile "$profile" --build "$build" --reports "$shards/$name" "${asked[@]}" ||
        [ -f "$shards/$name/run.json" ] || fail "shard $name measured nothing"
}

gate() {
    rm -f "$latest/gate.json"
    session -s gate -- --merge "$shards" --profile "$profile" --build "$build" --reports "$latest" || true
    [ -f "$latest/gate.json" ] || fail "nothing was judged"
    if [ -n "${GITHUB_OUTPUT:-}" ]; then
        printf '%s\n' "reports=$latest" "exit_code=$(judged exit_code)" "outcome=$(judged outcome)" >>"$GITHUB_OUTPUT"
    fi
    exit "$(judged exit_code)"
}

judged() { # KEY: what gate.json says
    .venv/bin/python -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$latest/gate.json" "$1"
}

case "${1:-}" in
plan) plan && echo "$lines" ;;
shard) shard "${2:?which shard? ci/phase8.sh plan names them}" ;;
gate) gate ;;
all)
    plan
    for name in $(listed | cut -d' ' -f1); do shard "$name"; done
    gate
    ;;
*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
