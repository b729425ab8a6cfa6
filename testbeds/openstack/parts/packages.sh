# Debian packages: only libraries and bare daemons, none of those that configure a service through debconf.
# Sourced by up.

PACKAGES="python3-keystone python3-placement python3-glance python3-neutron python3-nova python3-cinder
  python3-openstackclient python3-osc-placement python3-openstacksdk python3-pymysql python3-sqlalchemy-ext
  python3-memcache mariadb-server-core mariadb-client-core rabbitmq-server memcached
  uwsgi-core uwsgi-plugin-python3 openssl curl ca-certificates procps util-linux"

install_packages() {
    local missing=() p made_policy='' APT_GET
    for p in $PACKAGES; do
        dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${#missing[@]} packages and what they need"
    APT_GET="apt-get -o DPkg::Lock::Timeout=900 -o Acquire::Retries=3 -y -q"
    if [ ! -e /usr/sbin/policy-rc.d ]; then     # no service may start by itself
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        made_policy=1
    fi
    (
        export DEBIAN_FRONTEND=noninteractive
        apt-cache show python3-nova >/dev/null 2>&1 || $APT_GET update
        $APT_GET install --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}"
    ) >>"$STATE/log/install.log" 2>&1
    local rc=$?
    [ -z "$made_policy" ] || rm -f /usr/sbin/policy-rc.d
    [ $rc = 0 ] || die "package installation failed; see $STATE/log/install.log"
}

# The paste pipelines live in the service packages; take the files out of them
# without installing them, in the version of the installed libraries.
fetch_paste() {
    local pkg lib file ver
    while read -r pkg lib file; do
        [ -s "$STATE/etc/paste/$pkg.ini" ] && continue
        ver=$(dpkg-query -W -f '${Version}' "$lib")
        (cd "$STATE/tmp" && rm -rf "x-$pkg" "$pkg"_*.deb &&
            { apt-get -q download "$pkg=$ver" || apt-get -q download "$pkg"; } &&
            dpkg-deb -x "$pkg"_*.deb "x-$pkg" &&
            cp "x-$pkg/$file" "$STATE/etc/paste/$pkg.ini" &&
            rm -rf "x-$pkg" "$pkg"_*.deb) >>"$STATE/log/install.log" 2>&1 ||
            die "could not get $file out of $pkg; see $STATE/log/install.log"
    done <<-EOF
	nova-common python3-nova usr/share/nova-common/api-paste.ini
	neutron-common python3-neutron usr/share/neutron-common/api-paste.ini
	glance-common python3-glance usr/share/glance-common/glance-api-paste.ini
	cinder-common python3-cinder usr/share/cinder-common/api-paste.ini
	EOF
}
