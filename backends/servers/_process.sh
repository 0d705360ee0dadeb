# Processes: launching a server, recognising what was launched, ending it.
#
# A server is its main process, whose number is in $data/pid, and whatever that one started. All of them inherited the
# variable TIME_EXECUTION_SERVER with the server's data folder; only processes that have it are ever signalled. A number
# alone would not do: it may be somebody else's by now. Nor would a process group: epmd leaves its parent's.
# shellcheck shell=bash
# shellcheck disable=SC2154  # server, data, log, port, version: set by with_server and the server's file

start_timeout=${TIME_EXECUTION_SERVICES_TIMEOUT:-120}
stop_timeout=15
# How long a process may take to become another program.
exec_timeout=10
# How long one that was killed may take to let go of its ports.
release_timeout=${TIME_EXECUTION_SERVICES_RELEASE:-15}

# Root starts servers as somebody who may do nothing: Elasticsearch insists, and it does the others no harm.
unprivileged=()
if ((EUID == 0)); then
    unprivileged=(setpriv "--reuid=$(id -u nobody)" "--regid=$(id -g nobody)" --clear-groups)
fi

# One caller at a time for each server: two that start, or one that starts and one that kills.
lock() {
    exec {lock_file}>"$data_root/.locks/$server"
    flock "$lock_file"
}

unlock() { exec {lock_file}>&-; }

# The variables of a process are shown to its own user; root without the right to trace is not that user.
variables_of() { "${unprivileged[@]}" cat "/proc/$1/environ" 2>/dev/null | tr '\0' '\n'; }

marked_processes() {
    { "${unprivileged[@]}" grep -lzsxF "TIME_EXECUTION_SERVER=$data" /proc/[0-9]*/environ || true; } | cut -d/ -f3
    if is_running; then cat "$data/pid"; fi
}

is_running() {
    [[ -r $data/pid ]] || return 1
    local main variables deadline=$((SECONDS + exec_timeout))
    main=$(<"$data/pid")
    # A process shows no variables while it becomes another program, which takes long when that one is large and not in
    # memory as yet. One that goes on showing none has none, hence is a stranger.
    until variables=$(variables_of "$main") || return 1; [[ -n $variables ]]; do
        ((SECONDS < deadline)) && grep -qs '^State:.[^ZX]' "/proc/$main/status" || return 1
        sleep 0.02
    done
    [[ $'\n'$variables$'\n' == *$'\n'"TIME_EXECUTION_SERVER=$data"$'\n'* ]]
}

# detached COMMAND...: run as the server's main process, in its data folder, on its own.
detached() {
    own_by_server "$data"
    (
        exec {lock_file}>&-
        cd "$data" || exit
        exec "${unprivileged[@]}" env "TIME_EXECUTION_SERVER=$data" "HOME=$data" setsid "$@"
    ) </dev/null >>"$log" 2>&1 &
    echo $! >"$data/pid"
    # The marker shows with the first program that the new process becomes.
    until is_running || ! kill -0 $! 2>/dev/null; do sleep 0.05; done
}

own_by_server() {
    if ((EUID == 0)); then chown -R "$(id -u nobody):$(id -g nobody)" "$@"; fi
}

start_and_wait() {
    local began=$SECONDS
    if answers; then
        say "$version answers already"
        return
    fi
    lock
    if ! is_running; then
        # What a main process left behind that somebody else killed.
        end_all
        refuse_taken_ports
        install
        mkdir -p "$data"
        if [[ -e $log ]]; then mv "$log" "$log.before"; fi
        configure
        launch
    fi
    unlock
    wait_until_it_answers
    say "$version answers on port $port ($((SECONDS - began)) s)"
}

# A child that was just killed holds its ports longer than it shows its variables: until all its memory is given back.
refuse_taken_ports() {
    local taken
    wait_while "$release_timeout" find_taken_port ||
        fail "port $taken is taken by a program that was not started from here"
}

# find_taken_port: the first of this server's ports where a program listens is `taken`; 1 if there is none.
find_taken_port() {
    local prefix=${server^^} address
    while read -r taken; do
        printf -v address '[0-9A-F]+:%04X' "$taken"
        # A line's number, local and remote address, and state: 0A listens by TCP, 07 is a socket of UDP without a peer.
        grep -qsE "^ *[0-9]+: $address [0-9A-F]+:[0-9A-F]+ 0A " /proc/net/tcp{,6} && return
        grep -qsE "^ *[0-9]+: $address [0-9A-F]+:[0-9A-F]+ 07 " /proc/net/udp{,6} && return
    done < <(sed -n "s/^${prefix//-/_}_[A-Z_]*PORT=//p" "$here/ports.env")
    return 1
}

wait_until_it_answers() {
    local deadline=$((SECONDS + start_timeout))
    until answers; do
        complete || true
        is_running || fail_with_log "ended before it answered"
        ((SECONDS < deadline)) || fail_with_log "does not answer after $start_timeout s"
        sleep 0.5
    done
}

fail_with_log() {
    tail -n 25 "$log" 2>/dev/null | sed "s/^/$server: /" >&2
    fail "$version $*; the log is $log"
}

signal_all() {
    local pids
    mapfile -t pids < <(marked_processes)
    if ((${#pids[@]})); then kill "-$1" "${pids[@]}" 2>/dev/null || true; fi
}

# wait_while SECONDS COMMAND...: until the command fails; 1 if it still succeeds then.
wait_while() {
    local deadline=$((SECONDS + $1))
    shift
    while "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

anything_left() { [[ -n $(marked_processes) ]]; }

end_all() {
    signal_all KILL
    wait_while "$stop_timeout" anything_left || fail "could not be killed"
}

kill_at_once() {
    local outcome="does not run" taken
    lock
    if anything_left; then
        outcome=killed
        end_all
        # Until then, what is sent to it by UDP counts as received.
        wait_while "$release_timeout" find_taken_port || true
    fi
    say "$outcome"
    unlock
}

stop_and_remove() {
    lock
    if is_running; then
        # It may end by itself just now.
        kill -TERM "$(<"$data/pid")" 2>/dev/null || true
        wait_while "$stop_timeout" is_running || true
    fi
    # Some leave helpers behind.
    end_all
    rm -rf "$data"
    say "stopped"
    unlock
}

# http PATH [CURL OPTION...]: the answer to a GET of this server; fails on an error status.
http() {
    local path=$1
    shift
    curl --silent --fail --noproxy '*' --max-time 3 "$@" "http://127.0.0.1:$port$path"
}

# exchange PORT BYTES COUNT: send bytes (as printf writes them) over TCP; print so many of the answer in hexadecimal.
exchange() (
    exec {connection}<>"/dev/tcp/127.0.0.1/$1" || return 1
    # shellcheck disable=SC2059  # the escapes are the point
    printf "$2" >&"$connection"
    timeout 3 head -c "$3" <&"$connection" | od -An -tx1 | tr -d ' \n'
) 2>/dev/null
