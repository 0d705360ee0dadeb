# Certificates for servers that speak TLS: an authority of our own, and a certificate that it signed for this machine.
# shellcheck shell=bash
# shellcheck disable=SC2154  # data: set by services

# make_certificates: fill $data/tls with ca.pem, server.pem and server.key, unless they are there.
make_certificates() {
    local tls=$data/tls
    [[ -e $tls/server.pem ]] && return
    need openssl
    mkdir -p "$tls"
    # Python 3.13 wants an authority to say what its key is for.
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=time_execution test authority" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout "$tls/ca.key" -out "$tls/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" \
        -keyout "$tls/server.key" -out "$tls/server.csr" 2>/dev/null
    openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 30 \
        -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") -out "$tls/server.part" 2>/dev/null
    rm "$tls/server.csr"
    # In a container the server is somebody else; what is protected here is worth nothing.
    chmod 644 "$tls/server.key"
    mv "$tls/server.part" "$tls/server.pem"
}
