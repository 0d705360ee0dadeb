# The OpenTelemetry Collector with its own OTLP receiver: plainly, wanting a token, and over TLS. What it takes it
# appends to $data/metrics.jsonl, a request a line, before the sender hears that all went well. The program is otelcol/.
# shellcheck shell=bash disable=SC2034,SC2154
version=0.150.0
port=$OTELCOL_PORT

install() {
    local source go
    need curl
    source=$(cat "$here"/servers/otelcol/* | sha256sum)
    program=$cache/otelcol-$version-${source:0:12}
    [[ -e $program ]] && return
    need_go 1.25.5
    # Without the lock, which everything else that is missing would wait for.
    (build_collector)
}

build_collector() {
    say "building the collector; the first time it takes two minutes"
    make_parts
    cp "$here"/servers/otelcol/* "$parts"
    (cd "$parts" && env -u GOROOT nice "$go" build -trimpath -ldflags=-s -o program .) >"$cache/go.log" 2>&1 ||
        { tail -n 25 "$cache/go.log" >&2; fail "Go could not build the collector"; }
    mv "$parts/program" "$program"
}

configure() {
    make_certificates
    cat >"$data/config.yaml" <<CONF
extensions:
  bearertokenauth: {token: secret-of-otelcol}
receivers:
  otlp:
    protocols:
      http: {endpoint: "$bind:$OTELCOL_PORT"}
  otlp/token:
    protocols:
      http: {endpoint: "$bind:$OTELCOL_TOKEN_PORT", auth: {authenticator: bearertokenauth}}
  otlp/tls:
    protocols:
      http:
        endpoint: "$bind:$OTELCOL_TLS_PORT"
        tls: {cert_file: "$config/tls/server.pem", key_file: "$config/tls/server.key"}
exporters:
  file: {path: "$config/metrics.jsonl"}
service:
  extensions: [bearertokenauth]
  telemetry: {metrics: {level: none}}
  pipelines:
    metrics: {receivers: [otlp, otlp/token, otlp/tls], exporters: [file]}
CONF
}

# From its data folder: the user that it runs as cannot look into root's cache.
launch() {
    copy_whole "$program" "$data/otelcol"
    detached "$data/otelcol" "--config=file:$data/config.yaml"
}

# Any answer will do: a GET is refused.
answers() { curl --silent --noproxy '*' --max-time 3 --output /dev/null "http://127.0.0.1:$port/v1/metrics"; }
