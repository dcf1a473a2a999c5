#!/bin/sh
# Makes the certificates for tests anew, in this folder: sh make.sh. Needs OpenSSL 3.
set -eu
cd "$(dirname "$0")"

# authority NAME: a certificate that issues others.
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 \
    -subj "/CN=$1" -keyout "$1.key" -out "$1.pem" 2>/dev/null
}

# issue AUTHORITY NAME SUBJECT NAMES: a certificate that the authority issues.
issue() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$3" \
    -keyout "$2.key" -out "$2.csr" 2>/dev/null
  printf 'subjectAltName=%s\n' "$4" > "$2.ext"
  openssl x509 -req -in "$2.csr" -CA "$1.pem" -CAkey "$1.key" -days 36500 -extfile "$2.ext" \
    -out "$2.pem" 2>/dev/null
}

authority authority
authority stranger_authority
issue authority first /CN=first DNS:localhost,IP:127.0.0.1
issue authority second /CN=second DNS:localhost,IP:127.0.0.1
issue authority named /CN=named DNS:api.example.com
issue authority named_second /CN=named_second DNS:api.example.com
issue authority wildcard /CN=wildcard 'DNS:*.example.org'
issue authority client '/O=Example, Inc/OU=a/OU=b/CN=client' DNS:client,URI:spiffe://example/client
issue stranger_authority stranger /CN=stranger DNS:stranger
openssl pkcs8 -topk8 -in first.key -out first.encrypted.key -passout pass:secret
openssl ec -in first.key -aes256 -passout pass:secret -out first.traditional.key 2>/dev/null
# Too short a key for some runtimes.
openssl req -x509 -newkey rsa:1024 -nodes -days 36500 -subj /CN=localhost -keyout weak.key -out weak.pem 2>/dev/null
rm -f ./*.csr ./*.ext ./*.srl authority.key stranger_authority.key stranger_authority.pem
