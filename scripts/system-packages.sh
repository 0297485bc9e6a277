# system-packages.sh: sourced by quickstart and run-tests: makes sure that the tools and libraries are there.
#
# need_packages GROUP...: finds out what of the groups (build, model, test) is missing. With apt and root or sudo
# it is installed; otherwise the one line to type is printed and the script ends with status 1. What is there
# already is left alone, so a second run does nothing.

has() { command -v "$1" >/dev/null 2>&1; }
has_daemon() { has "$1" || [ -x "/usr/sbin/$1" ]; }
has_library() { has pkg-config && pkg-config --exists "$1"; }
has_pip() { python3 -m pip --version >/dev/null 2>&1; }
is_ubuntu() { grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; } # which has Chromium as a snap only
has_venv() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Adds one missing thing under its names in apt, dnf and brew ("-": comes with the system).
missing() {
    needed=yes
    add_names "$@"
}

# The same for what puna can do without: its absence stops nothing.
welcome() { add_names "$@"; }

add_names() {
    apt_names="$apt_names $1"
    dnf_names="$dnf_names $2"
    [ "$3" = - ] || brew_names="$brew_names $3"
}

find_missing_build() {
    has cc || missing "gcc libc6-dev" gcc -
    has make || missing make make -
    has cmake || missing cmake cmake cmake
    has pkg-config || missing pkg-config pkgconf-pkg-config pkg-config
    has_library libpcre2-8 || missing libpcre2-dev pcre2-devel pcre2
    has_library libutf8proc || missing libutf8proc-dev utf8proc-devel utf8proc
    has_library jansson || missing libjansson-dev jansson-devel jansson
    has_library libcurl || welcome "libcurl4-openssl-dev ca-certificates" libcurl-devel curl
    has_library zlib || welcome zlib1g-dev zlib-devel zlib
    has_library libmicrohttpd || welcome libmicrohttpd-dev libmicrohttpd-devel libmicrohttpd
    has_library libedit || welcome libedit-dev libedit-devel libedit
}

find_missing_model() {
    has python3 || missing python3 python3 python3
    has_pip || missing "python3-pip ca-certificates" python3-pip -
}

find_missing_test() {
    has_library cmocka || missing libcmocka-dev libcmocka-devel cmocka
    has_library libmicrohttpd || missing libmicrohttpd-dev libmicrohttpd-devel libmicrohttpd
    has c++ || welcome g++ gcc-c++ -
    has ccache || welcome ccache ccache ccache
    has_venv || missing python3-venv python3 python3
    has npm || welcome "nodejs npm" "nodejs npm" node
    has chromium || has chromium-browser || has google-chrome || is_ubuntu || welcome chromium chromium -
    [ "${CI:-}" = true ] && find_missing_deployment
    return 0
}

# For the tests of examples/server. Some of it starts when it is installed: on nobody's own machine, only in CI.
find_missing_deployment() {
    has promtool || welcome prometheus golang-github-prometheus prometheus
    has openssl || missing openssl openssl openssl
    has systemd-analyze || missing systemd systemd -
    has_daemon nginx || missing nginx-light nginx nginx
    { has_daemon munged && has_daemon slurmctld && has_daemon slurmd; } ||
        missing "slurm-wlm munge" "slurm slurm-slurmctld slurm-slurmd munge" -
}

# What may change the system: root as it is, others through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

tell_command() {
    [ -n "$needed" ] || return 0
    prefix=""
    [ "$(id -u)" = 0 ] || prefix="sudo "
    echo "puna: some system packages are missing. Please type this, then start again:" >&2
    if has apt-get; then
        echo "  ${prefix}apt-get install -y$apt_names" >&2
    elif has dnf; then
        echo "  ${prefix}dnf install -y$dnf_names" >&2
    elif has brew; then
        echo "  brew install$brew_names" >&2
    else
        echo "  Debian, Ubuntu:  ${prefix}apt-get install -y$apt_names" >&2
        echo "  Fedora:          ${prefix}dnf install -y$dnf_names" >&2
        echo "  macOS:           brew install$brew_names   (and xcode-select --install)" >&2
    fi
    exit 1
}

need_packages() {
    apt_names="" dnf_names="" brew_names="" needed=""
    for group in "$@"; do "find_missing_$group"; done
    [ -n "$apt_names" ] || return 0
    has apt-get && { [ "$(id -u)" = 0 ] || has sudo; } || { tell_command; return 0; }
    echo "puna: installing$apt_names" >&2
    # shellcheck disable=SC2086  # a list of names
    {
        as_root apt-get -q update &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 install -y \
                --no-install-recommends $apt_names
    } >&2 || tell_command
}
