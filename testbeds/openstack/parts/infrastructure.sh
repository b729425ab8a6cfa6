# What the services lean on: MariaDB, RabbitMQ, memcached. Sourced by up.

start_infra() {
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
        --innodb-doublewrite=0 --sync-binlog=0

    start memcached memcached -u root -l "$TB_IP" -p "$TB_PORT_MEMCACHED" -m 64

    cat >"$STATE/etc/rabbitmq.conf" <<-EOF
	listeners.tcp.1 = $TB_IP:$TB_PORT_AMQP
	default_user = openstack
	default_pass = $TB_PASSWORD
	default_permissions.configure = .*
	default_permissions.read = .*
	default_permissions.write = .*
	loopback_users = none
	log.file.level = warning
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

    wait_tcp "$TB_PORT_MARIADB" 60 mariadb
    wait_tcp "$TB_PORT_MEMCACHED" 20 memcached
    wait_tcp "$TB_PORT_AMQP" 90 rabbitmq

    # Notifications pile up where nobody reads them; bound the queues.
    if [ ! -e "$STATE/done/rabbitmq" ]; then
        rabbit_ctl await_startup && rabbit_ctl set_policy --apply-to queues notifications \
            'notifications' '{"max-length":20000}' || die "cannot set the policy of the message queues"
        touch "$STATE/done/rabbitmq"
    fi
    # One who may listen and nothing else, with the rights that docs/how-to/openstack.md names.
    if [ ! -e "$STATE/done/rabbitmq-doctor" ]; then
        rabbit_ctl await_startup && rabbit_ctl add_user doctor "$TB_PASSWORD" &&
            rabbit_ctl set_permissions doctor 'amq\.gen.*' 'amq\.gen.*' '(amq\.gen.*|nova|neutron)' ||
            die "cannot add the user of the message bus"
        touch "$STATE/done/rabbitmq-doctor"
    fi

    local db
    for db in keystone placement glance neutron nova nova_api nova_cell0 cinder; do
        echo "CREATE DATABASE IF NOT EXISTS $db CHARACTER SET utf8mb3;"
        echo "GRANT ALL ON $db.* TO '${db%%_*}'@'%' IDENTIFIED BY '$TB_PASSWORD';"
    done | mariadb --no-defaults -u root -S "$STATE/run/mariadb.sock" || die "cannot create the databases"
}
