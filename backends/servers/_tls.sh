# Certificates for servers that speak TLS: an authority of our own, and a certificate that it signed for this machine.
# shellcheck shell=bash
# shellcheck disable=SC2154  # data: set by services

# make_certificates: fill $data/tls with ca.pem, server.pem and server.key, unless they are there and last another week.
make_certificates() {
    local tls=$data/tls
    need openssl
    openssl x509 -in "$tls/server.pem" -checkend $((7 * 24 * 3600)) -noout >/dev/null 2>&1 && return
    mkdir -p "$tls"
    sign_certificates 2>"$tls/log" || { cat "$tls/log" >&2; fail "could not make certificates"; }
}

sign_certificates() {
    # Python 3.13 wants an authority to say what its key is for.
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=time_execution test authority" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout "$tls/ca.key" -out "$tls/ca.pem" &&
        openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" \
            -keyout "$tls/server.key" -out "$tls/server.csr" &&
        openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 30 \
            -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") -out "$tls/server.part" &&
        # In a container the server is somebody else; what is protected here is worth nothing.
        chmod 644 "$tls/server.key" && rm "$tls/server.csr" && mv "$tls/server.part" "$tls/server.pem"
}
