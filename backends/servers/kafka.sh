# Kafka: one node that is broker and controller (KRaft), with a listener each for no security, SASL, and TLS.
# shellcheck shell=bash disable=SC2034,SC2154
version=4.1.0
port=$KAFKA_PORT
user=timeexecution
password=secret-of-kafka

install() {
    need_java 17
    # The second is what it logs with; without, it says nothing when it fails.
    maven_jars "org.apache.kafka:kafka_2.13:$version" org.slf4j:slf4j-simple:1.7.36
}

configure() {
    make_certificates
    cat "$data/tls/server.key" "$data/tls/server.pem" >"$data/tls/keystore.pem"
    cat >"$data/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$KAFKA_CONTROLLER_PORT
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://$bind:$port,SASL_PLAINTEXT://$bind:$KAFKA_SASL_PORT,SSL://$bind:$KAFKA_TLS_PORT,\
CONTROLLER://127.0.0.1:$KAFKA_CONTROLLER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$port,SASL_PLAINTEXT://127.0.0.1:$KAFKA_SASL_PORT,\
SSL://127.0.0.1:$KAFKA_TLS_PORT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$store
# What tests write is years old by its own timestamps; by default it would go within five minutes.
log.retention.hours=-1

sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl_plaintext.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_$user="$password";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location=$config/tls/keystore.pem

# Everybody may do everything, until a test says otherwise of a topic.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS

auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
CONF
}

launch() {
    local java=(
        "$java_home/bin/java" "${java_options[@]}" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn
        -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$data/jars/*"
    )
    copy_whole "$fetched" "$data/jars"
    if [[ ! -e $store/meta.properties ]]; then
        own_by_server "$data"
        "${unprivileged[@]}" "${java[@]}" kafka.tools.StorageTool format --standalone \
            --config "$data/server.properties" --cluster-id dGltZS1leGVjdXRpb24tMQ \
            --add-scram "SCRAM-SHA-256=[name=$user,password=$password]" >>"$log" 2>&1 ||
            fail_with_log "could not format its storage"
    fi
    detached "${java[@]}" kafka.Kafka "$data/server.properties"
}

# The broker answers a request for the versions it speaks (key 18, version 0, no client name) once it serves others.
# Of the answer: its length, then the number that the request had.
answers() { [[ $(exchange "$port" '\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff' 8) == *00000001 ]]; }
