#!/bin/sh
# The RFC patch: its names, its size formula, the order of its commands, and no lock. Written from a description of what
# it runs; none of its code is here. What it lets its caller do (take locks, activate) is not done.
VG=$LVMQCOW_DRIVER_VG
. "${0%/*}/sh_json.sh"

run() { said=$("$@" 2>&1) || { refuse other "$1: $said"; return 1; }; }
dev() { echo "/dev/$VG/$1"; }
snap() { echo "snap-$2-$1"; }
parent_of() { qemu-img info -f qcow2 "$(dev "$1")" 2>/dev/null | sed -n 's/^backing file: \([^ ]*\).*/\1/p' | head -n 1 | sed 's,.*/,,'; }
lv_bytes() { lvm lvs --noheadings --units b --nosuffix -o lv_size "$VG/$1" 2>/dev/null | tr -d ' '; }
overhead_kib() { echo $(( ($1 + 1024 * 1024 * 1024 - 1) / (1024 * 1024 * 1024) * 4096 )); } # 4 MiB for each started TiB
tags() { printf -- '--addtag pve-vm-%s --addtag pve-%s' "$(echo "$1" | cut -d- -f2)" "$1"; }
lvcreate_() { # NAME KIB
    # shellcheck disable=SC2046 # a list of options
    run lvm lvcreate -aly -Wy --yes --size "${2}k" --name "$1" $(tags "$volume") "$VG"
}
format() { # LV KIB, or LV '' BACKING
    if [ "${3-}" ]; then
        run qemu-img create -q -F qcow2 -b "$(dev "$3")" -f qcow2 -o extended_l2=on,cluster_size=128k,preallocation=metadata "$(dev "$1")"
    else
        run qemu-img create -q -o preallocation=metadata -f qcow2 "$(dev "$1")" "${2}K"
    fi
}
create() {
    lvm lvs "$VG/$volume" >/dev/null 2>&1 && { refuse exists "$volume"; return; }
    kib=$((size / 1024))
    lvcreate_ "$volume" $((kib + $(overhead_kib "$kib"))) || return
    format "$volume" "$kib" || { lvm lvremove -f "$VG/$volume" >/dev/null 2>&1; return; }
    done_
}
snapshot() {
    old=$(snap "$volume" "$snapshot") bytes=$(lv_bytes "$volume")
    run lvm lvrename "$VG" "$volume" "$old" || return
    if lvcreate_ "$volume" $((bytes / 1024)) && format "$volume" '' "$old"; then done_; else
        lvm lvremove -f "$VG/$volume" >/dev/null 2>&1; lvm lvrename "$VG" "$old" "$volume" >/dev/null 2>&1
    fi
}
rollback() {
    old=$(snap "$volume" "$snapshot")
    [ "$(parent_of "$volume")" = "$old" ] || { refuse not-possible "$snapshot is not the most recent snapshot"; return; }
    format "$volume" '' "$old" && done_
}
delete_snapshot() {
    gone=$(snap "$volume" "$snapshot") child=
    parent=$(parent_of "$gone")
    for each in $(lvm lvs --noheadings -o lv_name "$VG" | tr -d ' ' | grep -F -- "$volume"); do
        [ "$(parent_of "$each")" = "$gone" ] && child=$each
    done
    [ "$child" ] || { refuse other "volume $gone is missing"; return; }
    if [ "$parent" ]; then
        run qemu-img rebase -b "$(dev "$parent")" -F qcow2 -f qcow2 "$(dev "$child")" || return
        run lvm lvremove -f "$VG/$gone" || return
    else
        run qemu-img commit "$(dev "$child")" || return
        run lvm lvremove -f "$VG/$child" || return
        run lvm lvrename "$VG" "$gone" "$child" || return
    fi
    done_
}
resize() {
    run lvm lvextend -L "$((size / 1024))k" "$VG/$volume" || return
    run timeout 10 qemu-img resize -q --preallocation=metadata -f qcow2 "$(dev "$volume")" "$size" || return
    done_
}
rename() { run lvm lvrename "$VG" "$volume" "$new" && done_; }
remove() { run lvm lvremove -f "$VG/$volume" && done_; }
chain() ( below=$(parent_of "$1"); [ "$below" ] || exit 0; chain "$below"; name=${below#snap-}; echo "${name%-"$volume"}" )
list() {
    printf '{"ok": true, "volumes": ['
    comma=
    for volume in $(lvm lvs --noheadings -o lv_name "$VG" | tr -d ' ' | grep '^vm-'); do
        names=$(chain "$volume" | sed 's/.*/"&"/' | paste -sd ,)
        printf '%s{"volume": "%s", "size_bytes": %s, "snapshots": [%s]}' "$comma" "$volume" "$(lv_bytes "$volume")" "$names"
        comma=,
    done
    echo ']}'
}

while IFS= read -r line; do
    volume=$(field volume) snapshot=$(field snapshot) size=$(field size_bytes) new=$(field new)
    case $(field op) in
    hello) echo '{"ok": true, "protocol": 1, "name": "rfc", "version": "patch 3 of 5", "capabilities": ["create", "snapshot", "rollback", "delete_snapshot", "resize", "rename", "remove", "activate", "deactivate"]}' ;;
    create) create ;;
    snapshot) snapshot ;;
    rollback) rollback ;;
    delete_snapshot) delete_snapshot ;;
    resize) resize ;;
    rename) rename ;;
    remove) remove ;;
    activate) run lvm lvchange -aey "@pve-$volume" && run lvm lvchange --refresh "@pve-$volume" && done_ ;;
    deactivate) run lvm lvchange -aln "@pve-$volume" && done_ ;;
    path) if [ "$snapshot" ]; then lv=$(snap "$volume" "$snapshot"); else lv=$volume; fi; echo "{\"ok\": true, \"path\": \"$(dev "$lv")\"}" ;;
    list) list ;;
    *) refuse other "unknown request" ;;
    esac
done
