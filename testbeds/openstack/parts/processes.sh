# Settings, and how processes are started and stopped. Sourced by every script of the testbed.
# Every value can be overridden from the environment.
STATE=${OPENSTACK_TESTBED:-/var/tmp/openstack-testbed}
export OPENSTACK_TESTBED=$STATE

TB_IP=${TB_IP:-127.0.0.1}
TB_REGION=${TB_REGION:-RegionOne}
TB_PASSWORD=${TB_PASSWORD:-testbed}          # one password for every account: this is a toy cloud

TB_PORT_MARIADB=${TB_PORT_MARIADB:-13306}
TB_PORT_AMQP=${TB_PORT_AMQP:-15680}
TB_PORT_AMQP_DIST=${TB_PORT_AMQP_DIST:-15681}
TB_PORT_EPMD=${TB_PORT_EPMD:-15682}
TB_PORT_MEMCACHED=${TB_PORT_MEMCACHED:-15683}
TB_PORT_KEYSTONE=${TB_PORT_KEYSTONE:-5000}
TB_PORT_PLACEMENT=${TB_PORT_PLACEMENT:-8778}
TB_PORT_GLANCE=${TB_PORT_GLANCE:-9292}
TB_PORT_NEUTRON=${TB_PORT_NEUTRON:-9696}
TB_PORT_NOVA=${TB_PORT_NOVA:-8774}
TB_PORT_CINDER=${TB_PORT_CINDER:-8776}

# How fast Nova itself notices that a compute service stopped reporting.
TB_REPORT_INTERVAL=${TB_REPORT_INTERVAL:-5}
TB_SERVICE_DOWN_TIME=${TB_SERVICE_DOWN_TIME:-15}

# Topics of the unversioned notifications (the versioned ones always go to
# versioned_notifications); every topic needs its own consumer.
TB_NOTIFICATION_TOPICS=${TB_NOTIFICATION_TOPICS:-notifications}

PY=/usr/bin/python3                           # the distribution's Python, never a virtual environment
AMQP_URL="rabbit://openstack:$TB_PASSWORD@$TB_IP:$TB_PORT_AMQP/"
db_url() { echo "mysql+pymysql://$1:$TB_PASSWORD@$TB_IP:$TB_PORT_MARIADB/$2?charset=utf8"; }

# The services must see neither a proxy nor another Python.
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY PYTHONHOME PYTHONPATH
unset PYTHONDONTWRITEBYTECODE
export no_proxy='*'
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8
unset "${!OS_@}"

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*"; }
die() { say "ERROR: $*" >&2; exit 1; }

# A pid file holds the pid and the process's start time (in clock ticks since
# boot), so that a pid used again by another process never counts.
started_at() {   # started_at PID : nothing for a process that is gone or only waits to be reaped
    local s
    s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    set -- ${s##*) }
    case $1 in Z|X) return 1 ;; esac
    echo "${20}"
}
alive() {   # alive NAME
    local pid at
    read -r pid at 2>/dev/null <"$STATE/run/$1.pid" || return 1
    [ -n "$at" ] && [ "$(started_at "$pid")" = "$at" ]
}

# Start a service as a process group of its own, unless it already runs.
start() {   # start NAME COMMAND...
    local name=$1; shift
    alive "$name" && return 0
    setsid "$@" >>"$STATE/log/$name.out" 2>&1 </dev/null &
    echo "$! $(started_at $!)" >"$STATE/run/$name.pid"
    disown
}

stop() {    # stop NAME [SECONDS]
    local name=$1 secs=${2:-10} pid
    if alive "$name"; then
        read -r pid _ <"$STATE/run/$name.pid"
        kill -TERM "$pid" 2>/dev/null
        for _ in $(seq $((secs * 10))); do
            alive "$name" || break
            sleep 0.1
        done
        # whatever is left of its group (workers, or a service that hangs)
        kill -KILL -- "-$pid" 2>/dev/null
    fi
    rm -f "$STATE/run/$name.pid"
}

wait_tcp() {   # wait_tcp PORT SECONDS NAME
    local end=$((SECONDS + $2))
    until (exec 3<>"/dev/tcp/$TB_IP/$1") 2>/dev/null; do
        alive "$3" || die "$3 died; see $STATE/log/$3.out"
        [ $SECONDS -lt $end ] || die "$3 does not listen on port $1 after $2 s"
        sleep 0.2
    done
}

wait_http() {  # wait_http URL SECONDS NAME : any answer that is not a 5xx will do
    local end=$((SECONDS + $2)) code
    while :; do
        code=$(curl -s -o /dev/null -m 20 -w '%{http_code}' "$1")
        case $code in 2*|3*|4*) return 0 ;; esac
        alive "$3" || die "$3 died; see $STATE/log/$3.out"
        [ $SECONDS -lt $end ] || die "$3 does not answer on $1 after $2 s (last code $code)"
        sleep 0.3
    done
}

wsgi() {       # wsgi NAME PORT PROCESSES THREADS : serves $STATE/wsgi/NAME.py
    cat >"$STATE/wsgi/$1.ini" <<-EOF
	[uwsgi]
	plugins = python3
	http-socket = $TB_IP:$2
	wsgi-file = $STATE/wsgi/$1.py
	need-app = true
	master = true
	processes = $3
	threads = $4
	enable-threads = true
	lazy-apps = true
	thunder-lock = true
	die-on-term = true
	buffer-size = 65535
	listen = 100
	wsgi-manage-chunked-input = true
	add-header = Connection: close
	disable-logging = true
	EOF
    start "$1" uwsgi --ini "$STATE/wsgi/$1.ini"
}

# Python code that runs a service's console entry point
main_of() { echo "import sys; sys.argv[0] = '$1'; from $1 import main; sys.exit(main())"; }

start_compute() {   # start_compute HOST
    PYTHONPATH=$STATE/lib start "nova-$1" "$PY" \
        -c "import nova.virt; nova.virt.__path__.append('$STATE/lib/nova_virt'); $(main_of nova.cmd.compute)" \
        --config-file "$STATE/etc/nova/nova.conf" --config-file "$STATE/etc/nova/$1.conf"
}
