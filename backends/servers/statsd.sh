# StatsD by its first authors: UDP, TCP, and a port for questions. What it received is in $data/packets.jsonl; what it
# made of that, second by second, in $data/flushes.jsonl.
# shellcheck shell=bash disable=SC2034,SC2154
version=0.9.0
port=$STATSD_PORT

install() {
    need node nodejs
    npm_package statsd "$version"
}

configure() {
    cp "$here/servers/statsd_recorder.js" "$data"
    cat >"$data/config.js" <<CONF
{
  servers: [
    { server: "./servers/udp", address: "$bind", port: $STATSD_PORT },
    { server: "./servers/tcp", address: "$bind", port: $STATSD_TCP_PORT },
  ],
  mgmt_address: "$bind",
  mgmt_port: $STATSD_ADMIN_PORT,
  flushInterval: 1000,
  backends: ["$config/statsd_recorder.js"],
  recordInto: "$config",
}
CONF
}

launch() {
    copy_whole "$fetched" "$data/node_modules"
    detached node node_modules/statsd/stats.js config.js
}

# "health: up", of which the first bytes do.
answers() { [[ $(exchange "$STATSD_ADMIN_PORT" 'health\n' 7) == "$(printf 'health:' | od -An -tx1 | tr -d ' ')" ]]; }
