# RabbitMQ: AMQP 0-9-1, plain and with TLS, under a node name and with a port mapper (epmd) of its own.
# shellcheck shell=bash disable=SC2034,SC2154
version=3.10
port=$RABBITMQ_PORT
programs=/usr/lib/rabbitmq/bin

# Not the programs on PATH: those insist on the user rabbitmq and on the distribution's folders.
install() {
    [[ -x $programs/rabbitmq-server ]] || debian_packages rabbitmq-server
}

configure() {
    make_certificates
    : >"$data/enabled_plugins"
    cat >"$data/rabbitmq.conf" <<CONF
listeners.tcp.1 = $bind:$RABBITMQ_PORT
listeners.ssl.1 = $bind:$RABBITMQ_TLS_PORT
ssl_options.cacertfile = $config/tls/ca.pem
ssl_options.certfile = $config/tls/server.pem
ssl_options.keyfile = $config/tls/server.key
ssl_options.verify = verify_none
loopback_users = none
load_definitions = $config/definitions.json
CONF
    cat >"$data/definitions.json" <<JSON
{"vhosts": [{"name": "/"}],
 "users": [
   {"name": "guest", "password_hash": "$(password_hash guest)", "tags": "administrator"},
   {"name": "timeexecution", "password_hash": "$(password_hash secret-of-rabbitmq)", "tags": ""}],
 "permissions": [
   {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
   {"user": "timeexecution", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}]}
JSON
}

# As RabbitMQ stores passwords: four bytes of salt, and SHA-256 of salt and password.
password_hash() {
    { printf salt; printf 'salt%s' "$1" | openssl dgst -sha256 -binary; } | openssl base64
}

launch() {
    detached env "ERL_EPMD_PORT=$RABBITMQ_EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_CONF_ENV_FILE=/dev/null \
        RABBITMQ_NODENAME=time-execution@localhost "RABBITMQ_DIST_PORT=$RABBITMQ_DISTRIBUTION_PORT" \
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}" \
        "RABBITMQ_CONFIG_FILE=$data/rabbitmq.conf" "RABBITMQ_ENABLED_PLUGINS_FILE=$data/enabled_plugins" \
        "RABBITMQ_MNESIA_BASE=$store" "RABBITMQ_LOG_BASE=$data/logs" RABBITMQ_LOGS=- \
        "$programs/rabbitmq-server"
}

# A client says which protocol it speaks; the server's first frame (type 1, a method) follows.
answers() { [[ $(exchange "$port" 'AMQP\0\0\x09\x01' 1) == 01 ]]; }
