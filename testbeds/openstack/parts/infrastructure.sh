# What the services lean on: MariaDB, RabbitMQ, memcached. Sourced by up.

# The hash of the password as RabbitMQ keeps it: the salt, and SHA-256 of salt and password.
rabbit_hash() { { printf salt; printf 'salt%s' "$TB_PASSWORD" | openssl dgst -sha256 -binary; } | base64; }

start_infra() {
    # RabbitMQ, which takes longest. Notifications pile up where nobody reads them; hence the bound of the queues. The
    # user doctor may listen and nothing else, with the rights that docs/how-to/openstack.md names.
    cat >"$STATE/etc/rabbitmq.conf" <<-EOF
	listeners.tcp.1 = $TB_IP:$TB_PORT_AMQP
	load_definitions = $STATE/etc/rabbitmq-definitions.json
	loopback_users = none
	log.file.level = warning
	EOF
    cat >"$STATE/etc/rabbitmq-definitions.json" <<-EOF
	{"vhosts": [{"name": "/"}],
	 "users": [{"name": "openstack", "password_hash": "$(rabbit_hash)", "tags": ""},
	           {"name": "doctor", "password_hash": "$(rabbit_hash)", "tags": ""}],
	 "permissions": [{"user": "openstack", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
	                 {"user": "doctor", "vhost": "/", "configure": "amq\\\\.gen.*", "write": "amq\\\\.gen.*",
	                  "read": "(amq\\\\.gen.*|nova|neutron)"}],
	 "policies": [{"vhost": "/", "name": "notifications", "pattern": "notifications", "apply-to": "queues",
	               "definition": {"max-length": 20000}}]}
	EOF
    : >"$STATE/etc/rabbitmq-env.conf"
    echo '[].' >"$STATE/etc/rabbitmq-plugins"
    start rabbitmq env HOME="$STATE/rabbitmq" ERL_EPMD_ADDRESS="$TB_IP" ERL_EPMD_PORT="$TB_PORT_EPMD" \
        RABBITMQ_NODENAME=testbed@localhost RABBITMQ_DIST_PORT="$TB_PORT_AMQP_DIST" \
        RABBITMQ_CONF_ENV_FILE="$STATE/etc/rabbitmq-env.conf" \
        RABBITMQ_CONFIG_FILE="$STATE/etc/rabbitmq.conf" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$STATE/etc/rabbitmq-plugins" \
        RABBITMQ_MNESIA_BASE="$STATE/rabbitmq/mnesia" RABBITMQ_LOG_BASE="$STATE/log" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}" \
        /usr/lib/rabbitmq/bin/rabbitmq-server
    start memcached memcached -u root -l "$TB_IP" -p "$TB_PORT_MEMCACHED" -m 64

    # MariaDB: durability is of no interest here, speed is
    if [ ! -d "$STATE/mariadb/mysql" ]; then
        say "creating the database server"
        mariadb-install-db --no-defaults --user=root --datadir="$STATE/mariadb" \
            --auth-root-authentication-method=normal --skip-test-db \
            >"$STATE/log/mariadb-install.log" 2>&1 || die "mariadb-install-db failed"
    fi
    start mariadb mariadbd --no-defaults --user=root --datadir="$STATE/mariadb" \
        --socket="$STATE/run/mariadb.sock" --bind-address="$TB_IP" --port="$TB_PORT_MARIADB" \
        --skip-name-resolve --skip-log-bin --max-connections=2000 \
        --character-set-server=utf8mb3 --collation-server=utf8mb3_general_ci \
        --innodb-buffer-pool-size=256M --innodb-flush-log-at-trx-commit=0 \
        --innodb-flush-method=nosync --innodb-doublewrite=0 --sync-frm=0

    wait_tcp "$TB_PORT_MARIADB" 60 mariadb
    wait_tcp "$TB_PORT_MEMCACHED" 20 memcached
    wait_tcp "$TB_PORT_AMQP" 90 rabbitmq

    local db
    for db in keystone placement glance neutron nova nova_api nova_cell0 cinder; do
        echo "CREATE DATABASE IF NOT EXISTS $db CHARACTER SET utf8mb3;"
        echo "GRANT ALL ON $db.* TO '${db%%_*}'@'%' IDENTIFIED BY '$TB_PASSWORD';"
    done | mariadb --no-defaults -u root -S "$STATE/run/mariadb.sock" || die "cannot create the databases"
}
