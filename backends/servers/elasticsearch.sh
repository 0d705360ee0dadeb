# Elasticsearch, five versions of it: the distribution for integration tests, which is the real server with few modules.
# shellcheck shell=bash disable=SC2034,SC2154
major=${server##*-}
declare -A versions=([5]=5.6.16 [6]=6.8.23 [7]=7.17.29 [8]=8.19.21 [9]=9.5.3)
version=${versions[$major]}
port_name=ELASTICSEARCH_${major}_PORT
port=${!port_name}
home=$data/elasticsearch-$version

install() {
    need curl
    need unzip
    if ((major < 9)); then need_java 17; else need_java 25; fi
    maven_file "org.elasticsearch.distribution.integ-test-zip:elasticsearch:$version:zip"
}

launch() {
    if [[ ! -e $home ]]; then
        unzip -qo "$fetched" -d "$data/unpacking"
        mv "$data/unpacking"/* "$home"
        rmdir "$data/unpacking"
    fi
    # Java 17 refuses to start with flags of a garbage collector that it has no more.
    if ((major == 5)); then sed -i '/CMS\|ConcMarkSweep/d' "$home/config/jvm.options"; fi
    write_settings
    detached env "JAVA_HOME=$java_home" "ES_JAVA_HOME=$java_home" \
        "ES_JAVA_OPTS=${java_options[*]} -XX:-AlwaysPreTouch" "$home/bin/elasticsearch"
}

write_settings() {
    local transport=transport.port security=
    ((major > 6)) || transport=transport.tcp.port
    ((major < 8)) || security="xpack.security.enabled: false"
    cat >"$home/config/elasticsearch.yml" <<YAML
cluster.name: time-execution
node.name: $server
network.host: 127.0.0.1
http.port: $port
$transport: 0
discovery.type: single-node
path.data: "$store"
path.logs: "$data/logs"
cluster.routing.allocation.disk.threshold_enabled: false
$security
YAML
}

answers() { http "/_cluster/health?wait_for_status=yellow&timeout=2s" >/dev/null; }
