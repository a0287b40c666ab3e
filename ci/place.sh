# Read by the scripts beside it, which have changed to the checkout: $place is where .venv, .tox and all caches are.
# That is the checkout; or, where it cannot be written to, a directory of the user's, or the one LVMQCOW_PLACE names.
place=${LVMQCOW_PLACE:-$PWD}
if [ ! -w "$place" ] && [ ! "${LVMQCOW_PLACE-}" ]; then
    place=${XDG_CACHE_HOME:-${HOME-}/.cache}/lvmqcow/$(printf %s "$PWD" | cksum | cut -d ' ' -f 1)
fi
if ! mkdir -p "$place"; then
    echo "$PWD cannot be written to: set LVMQCOW_PLACE to a directory for its .venv, .tox and caches" >&2
    exit 1
fi
place=$(cd "$place" && pwd -P)
