# Redis, with a user timeexecution beside the default one, who needs no password.
# shellcheck shell=bash disable=SC2034,SC2154
version=7.0
port=$REDIS_PORT

install() { need redis-server; }

# A title would be written over the variables that tell who was started here.
configure() {
    mkdir -p "$data/store"
    cat >"$data/redis.conf" <<CONF
bind $bind
port $port
protected-mode no
dir "$store"
appendonly yes
save ""
set-proc-title no
user default on nopass ~* &* +@all
user timeexecution on >secret-of-redis ~* &* +@all
CONF
}

launch() { detached redis-server "$data/redis.conf"; }

# "+OK" to the login and "+PONG" to the question, which is another answer while data are being loaded.
answers() { [[ $(exchange "$port" 'AUTH timeexecution secret-of-redis\r\nPING\r\n' 7) == 2b4f4b0d0a2b50 ]]; }
