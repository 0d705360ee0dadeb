# Prometheus: scrapes, each second, what tests name in $data/targets/*.json; the Pushgateway is there from the start.
# shellcheck shell=bash disable=SC2034,SC2154
version=2.42
port=$PROMETHEUS_PORT

install() {
    need curl
    need prometheus
}

configure() {
    mkdir -p "$data/targets"
    cat >"$data/prometheus.yml" <<CONF
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: targets
    file_sd_configs:
      - files: ["$config/targets/*.json"]
        refresh_interval: 1s
  - job_name: pushgateway
    honor_labels: true
    static_configs:
      - targets: ["127.0.0.1:$PUSHGATEWAY_PORT"]
CONF
}

launch() {
    detached prometheus "--config.file=$data/prometheus.yml" "--storage.tsdb.path=$store" \
        "--web.listen-address=127.0.0.1:$port" --enable-feature=exemplar-storage
}

answers() { http /-/ready >/dev/null; }
