# The same verbs where a Docker engine answers: the servers are those of compose.yaml, configured by the same functions.
# shellcheck shell=bash
# shellcheck disable=SC2154  # here, names, data_root: set by services

docker_answers() {
    [[ ${TIME_EXECUTION_SERVICES:-} != local ]] &&
        command -v docker >/dev/null && timeout 5 docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

compose() {
    SERVICES_DATA=$data_root SERVICES_USER=$UID:$(id -g) docker compose --project-name time-execution-services \
        --env-file "$here/ports.env" --file "$here/compose.yaml" "$@"
}

docker_start() {
    each configure_once
    compose up --detach --wait --wait-timeout "$((start_timeout * 2))" "${names[@]}" ||
        { compose logs --tail 25 "${names[@]}" >&2; return 1; }
    each wait_for_container
}

configure_once() {
    # Many are asked by it whether they answer.
    need curl
    mkdir -p "$data"
    configure
}

wait_for_container() {
    local deadline=$((SECONDS + start_timeout))
    until answers; do
        complete || true
        ((SECONDS < deadline)) || fail "$version does not answer after $start_timeout s"
        sleep 0.5
    done
    say "$version answers on port $port"
}

docker_stop() {
    compose rm --stop --force --volumes "${names[@]}"
    each remove_data
}

remove_data() { rm -rf "$data"; }

# A container that is already gone is as good as killed.
docker_kill() { compose kill --signal KILL "${names[@]}" || true; }

docker_restart() {
    docker_stop
    docker_start
}
