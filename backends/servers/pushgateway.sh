# Prometheus' Pushgateway, with the requests that wipe it.
# shellcheck shell=bash disable=SC2034,SC2154
version=1.5
port=$PUSHGATEWAY_PORT

install() {
    need curl
    need prometheus-pushgateway
}

launch() { detached prometheus-pushgateway "--web.listen-address=127.0.0.1:$port" --web.enable-admin-api; }

answers() { http /-/ready >/dev/null; }
