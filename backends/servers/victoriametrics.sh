# VictoriaMetrics: takes InfluxDB's line protocol of 1.x and 2.x, and Prometheus' remote write.
# shellcheck shell=bash disable=SC2034,SC2154
version=1.79
port=$VICTORIAMETRICS_PORT

install() {
    need curl
    need victoria-metrics
}

# Tests write old timestamps, and read at once what they wrote.
launch() {
    detached victoria-metrics "-httpListenAddr=127.0.0.1:$port" "-storageDataPath=$store" \
        -retentionPeriod=100y -search.latencyOffset=0s -memory.allowedBytes=256MB
}

answers() { http /health >/dev/null; }
