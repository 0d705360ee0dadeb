# InfluxDB 1.x: HTTP with users, and a UDP listener that writes into the database udp_metrics.
# shellcheck shell=bash disable=SC2034,SC2154
version=1.6
port=$INFLUXDB_PORT
user=timeexecution
password=secret-of-influxdb

install() {
    need curl
    need influxd influxdb
}

configure() {
    cat >"$data/influxdb.conf" <<CONF
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "$store/meta"
[data]
dir = "$store/data"
wal-dir = "$store/wal"
[monitor]
store-enabled = false
[http]
bind-address = "$bind:$INFLUXDB_PORT"
auth-enabled = true
log-enabled = false
[[udp]]
enabled = true
bind-address = "$bind:$INFLUXDB_UDP_PORT"
database = "udp_metrics"
precision = "n"
batch-timeout = "100ms"
CONF
}

launch() { detached influxd -config "$data/influxdb.conf"; }

# Whoever is first may create an administrator, nobody afterwards.
complete() {
    query "CREATE USER $user WITH PASSWORD '$password' WITH ALL PRIVILEGES" --request POST >/dev/null || true
    query "CREATE DATABASE udp_metrics" --request POST --user "$user:$password" >/dev/null
}

answers() { query "SHOW DATABASES" --user "$user:$password" | grep '"udp_metrics"' >/dev/null; }

# query TEXT [CURL OPTION...]
query() { http /query --get --data-urlencode "q=$1" "${@:2}"; }
