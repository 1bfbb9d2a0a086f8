#!/bin/sh
# A session with nothing but curl.
#
#     FREEHOLD_API_KEY=... sh examples/curl.sh
#
# FREEHOLD_URL names the server, http://127.0.0.1:8700 by default.
set -eu

url=${FREEHOLD_URL:-http://127.0.0.1:8700}
: "${FREEHOLD_API_KEY:?set it to a key of the server}"

# Only ever called in a subshell, which curl takes over: so that the stream's process id is curl's.
call() {
    exec curl --silent --show-error --fail-with-body \
        --header "x-api-key: $FREEHOLD_API_KEY" \
        --header "anthropic-version: 2023-06-01" \
        --header "anthropic-beta: managed-agents-2026-04-01" \
        --header "content-type: application/json" \
        "$@"
}

# The id with the prefix $1 in the answer on standard input; fails with the answer where there is none.
id() {
    answer=$(cat)
    found=$(echo "$answer" | grep -o "\"id\": *\"$1_[0-9A-Za-z]*\"" | head -n 1 | cut -d '"' -f 4)
    if [ -z "$found" ]; then
        echo "$answer" >&2
        return 1
    fi
    echo "$found"
}

agent=$(call "$url/v1/agents" --data '{
    "name": "curl",
    "model": "claude-sonnet-5-5",
    "tools": [{"type": "agent_toolset_20260401"}]
}' | id agent)

environment=$(call "$url/v1/environments" --data "{\"name\": \"curl-$$-$(date +%s)\"}" | id env)

session=$(call "$url/v1/sessions" --data "{
    \"agent\": \"$agent\",
    \"environment_id\": \"$environment\",
    \"initial_events\": [{
        \"type\": \"user.message\",
        \"content\": [{\"type\": \"text\", \"text\": \"Write a program and run it.\"}]
    }]
}" | id sesn)
echo "$session"

# The session runs already. A stream has no replay unless it is asked for: Last-Event-ID resumes after that number, and
# 0 is before the first event.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkfifo "$scratch/frames"
call --no-buffer --header "Last-Event-ID: 0" "$url/v1/sessions/$session/events/stream" \
    >"$scratch/frames" &
stream=$!
while IFS= read -r line; do
    case $line in
    "event: ping") ;;
    "event: "*) echo "$line" ;;
    esac
    if [ "$line" = "event: session.status_idle" ]; then
        break
    fi
done <"$scratch/frames"
kill "$stream" 2>/dev/null || true
