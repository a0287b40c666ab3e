# Read a request, and answer it: what both shell drivers share. Volume and snapshot names need no escapes.

field() { # NAME: the value of a field of $line
    printf '%s\n' "$line" | sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\)\"\{0,1\}[,}].*/\1/p"
}

done_() { echo '{"ok": true}'; }

refuse() { # KIND MESSAGE
    printf '{"ok": false, "kind": "%s", "message": "%s"}\n' "$1" "$(printf '%s' "$2" | tr '"\\\n\t' "'/  ")"
}
