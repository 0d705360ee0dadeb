# PostgreSQL, with a user and a database timeexecution.
# shellcheck shell=bash disable=SC2034,SC2154
version=15
port=$POSTGRESQL_PORT

# Debian keeps the programs of each version in a folder of its own, off PATH.
find_programs() {
    local program
    for program in /usr/lib/postgresql/*/bin/initdb "$(command -v initdb)"; do
        programs=${program%/initdb}
        [[ -x $program ]] && return
    done
    return 1
}

install() { find_programs || debian_packages postgresql; }

# Its children write titles of their own over the variables that tell who was started here; they end with their parent,
# though not at once. Without fsync, what is committed outlives the server, not the machine.
launch() {
    find_programs || fail "has no initdb"
    own_by_server "$data"
    [[ -e $store/PG_VERSION ]] || create_store
    wait_while "$stop_timeout" is_in_use || fail "has left processes behind that do not end"
    # Of one that was killed: it would count as running until somebody has asked for its exit code.
    rm -f "$store/postmaster.pid"
    detached "$programs/postgres" -D "$store" -c "listen_addresses=$bind" -c "port=$port" -c unix_socket_directories= \
        -c fsync=off -c timezone=UTC
}

is_in_use() { { readlink /proc/[0-9]*/cwd 2>/dev/null || true; } | grep -xF "$store" >/dev/null; }

# Half a store does not count. The server's user asks for folders of the caller, which it may not enter, hence cd.
create_store() {
    cd "$data" || exit
    rm -rf "$store" "$store.part"
    echo secret-of-postgresql >"$data/password"
    {
        "${unprivileged[@]}" "$programs/initdb" --pgdata="$store.part" --username=timeexecution --auth=scram-sha-256 \
            --pwfile="$data/password" --encoding=UTF8 --no-locale --no-sync &&
            "${unprivileged[@]}" "$programs/postgres" --single -D "$store.part" postgres \
                <<<"CREATE DATABASE timeexecution;"
    } >>"$log" 2>&1 || fail_with_log "could not create its database"
    mv "$store.part" "$store"
}

# A client says who it is; a server that is ready asks for the password (a message of type R).
answers() {
    [[ $(exchange "$port" '\0\0\0\x33\0\x03\0\0user\0timeexecution\0database\0timeexecution\0\0' 1) == 52 ]]
}
