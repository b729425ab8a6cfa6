# Databases, services, accounts and what users find in the cloud. Sourced by up.

nova_manage() { "$PY" "$HERE/manage.py" nova.cmd.manage --config-file "$STATE/etc/nova/nova.conf" "$@"; }

once() {   # once NAME FUNCTION : run it unless it went well before
    [ -e "$STATE/done/$1" ] && return 0
    local t=$SECONDS
    "$2" >>"$STATE/log/init-$1.log" 2>&1 || die "$1 cannot be prepared; see $STATE/log/init-$1.log"
    touch "$STATE/done/$1"
    say "  $1 prepared ($((SECONDS - t)) s)"
}
init_keystone() {
    local u=http://$TB_IP:$TB_PORT_KEYSTONE/v3
    "$PY" "$HERE/manage.py" keystone.cmd.manage --config-file "$STATE/etc/keystone/keystone.conf" db_sync \
        "fernet_setup --keystone-user root --keystone-group root" \
        "credential_setup --keystone-user root --keystone-group root" \
        "bootstrap --bootstrap-password $TB_PASSWORD --bootstrap-region-id $TB_REGION
            --bootstrap-admin-url $u --bootstrap-internal-url $u --bootstrap-public-url $u"
}
init_accounts() { "$PY" "$HERE/seed.py" accounts; }
init_placement() { OS_PLACEMENT_CONFIG_DIR=$STATE/etc/placement placement-manage --config-file "$STATE/etc/placement/placement.conf" db sync; }
init_glance() {
    "$PY" -c "$(main_of glance.cmd.manage)" --config-file "$STATE/etc/glance/glance-api.conf" db_sync
}
init_neutron() {
    "$PY" -c "$(main_of neutron.db.migration.cli)" --config-file "$STATE/etc/neutron/neutron.conf" \
        --config-file "$STATE/etc/neutron/ml2.ini" upgrade heads
}
init_cinder() { "$PY" -c "$(main_of cinder.cmd.manage)" --config-file "$STATE/etc/cinder/cinder.conf" db sync; }
init_nova() {
    nova_manage "api_db sync" "cell_v2 map_cell0 --database_connection $(db_url nova nova_cell0)" \
        "db sync" "cell_v2 create_cell --name cell1"   # the last one cannot be repeated
}

init_resources() { "$PY" "$HERE/seed.py" resources; }

up_keystone() {
    once keystone init_keystone
    wsgi keystone "$TB_PORT_KEYSTONE" 1 4
    wait_http "http://$TB_IP:$TB_PORT_KEYSTONE/v3" 180 keystone
    once accounts init_accounts
}
up_placement() {
    once placement init_placement
    wsgi placement "$TB_PORT_PLACEMENT" 1 4
    wait_http "http://$TB_IP:$TB_PORT_PLACEMENT/" 180 placement
}
up_glance() {
    once glance init_glance
    wsgi glance "$TB_PORT_GLANCE" 1 4
    wait_http "http://$TB_IP:$TB_PORT_GLANCE/" 180 glance
}
up_cinder() {
    once cinder init_cinder
    wsgi cinder "$TB_PORT_CINDER" 1 1
    wait_http "http://$TB_IP:$TB_PORT_CINDER/" 180 cinder
}
up_neutron() {
    once neutron init_neutron
    PYTHONPATH=$STATE/lib start neutron "$PY" -c "$(main_of neutron.cmd.eventlet.server)" \
        --config-file "$STATE/etc/neutron/neutron.conf" --config-file "$STATE/etc/neutron/ml2.ini"
    wait_http "http://$TB_IP:$TB_PORT_NEUTRON/" 180 neutron
}
up_nova() {
    local nova="--config-file $STATE/etc/nova/nova.conf" end=$((SECONDS + 180))
    once nova init_nova
    until [ -e "$STATE/done/accounts" ]; do   # nova-conductor logs in when it starts
        [ $SECONDS -lt $end ] || die "nova has no account"
        sleep 0.2
    done
    start nova-conductor "$PY" -c "$(main_of nova.cmd.conductor)" $nova --log-file "$STATE/log/nova-conductor.log"
    start nova-scheduler "$PY" -c "$(main_of nova.cmd.scheduler)" $nova --log-file "$STATE/log/nova-scheduler.log"
    wsgi nova-api "$TB_PORT_NOVA" 3 1
    wait_http "http://$TB_IP:$TB_PORT_NOVA/" 180 nova-api
}

# Each service goes its own way from an empty database to the first answer, all of them side by side.
start_services() {
    export OS_KEYSTONE_CONFIG_DIR=$STATE/etc/keystone OS_PLACEMENT_CONFIG_DIR=$STATE/etc/placement \
        OS_GLANCE_CONFIG_DIR=$STATE/etc/glance OS_NOVA_CONFIG_DIR=$STATE/etc/nova
    local ways=() name ok=1
    for name in keystone nova neutron placement glance cinder; do
        "up_$name" & ways+=($!)
    done
    for name in "${ways[@]}"; do wait "$name" || ok=0; done
    [ $ok = 1 ] || die "not all services have started"
}

start_computes() {
    local i h
    for i in $(seq "$N"); do
        h=compute-$i
        mkdir -p "$STATE/nova/$h/instances"
        cat >"$STATE/etc/nova/$h.conf" <<-EOF
		[DEFAULT]
		host = $h
		log_file = $STATE/log/nova-$h.log
		state_path = $STATE/nova/$h
		instances_path = $STATE/nova/$h/instances
		compute_driver = ${TB_COMPUTE_DRIVER:-testbed.TestbedDriver}
		[oslo_concurrency]
		lock_path = $STATE/nova/$h/lock
		EOF
        start_compute "$h"
    done
    say "waiting for $N compute hosts"
    "$PY" "$HERE/seed.py" wait-computes "$N" "$STATE"/run/nova-compute-*.pid >>"$STATE/log/seed.log" 2>&1 ||
        die "the compute services did not come up; see $STATE/log/seed.log"
    if [ "$(cat "$STATE/done/hosts" 2>/dev/null || echo 0)" -lt "$N" ]; then
        nova_manage "cell_v2 discover_hosts" >>"$STATE/log/init-nova.log" 2>&1 || die "discover_hosts failed"
        echo "$N" >"$STATE/done/hosts"
    fi
}

write_credentials() {
    local c user project
    : >"$STATE/clouds.yaml"
    echo "clouds:" >>"$STATE/clouds.yaml"
    while read -r c user project; do
        cat >>"$STATE/clouds.yaml" <<-EOF
		  $c:
		    auth:
		      auth_url: http://$TB_IP:$TB_PORT_KEYSTONE/v3
		      username: $user
		      password: $TB_PASSWORD
		      project_name: $project
		      user_domain_name: Default
		      project_domain_name: Default
		    region_name: $TB_REGION
		    identity_api_version: 3
		EOF
        # What `doctor verify fault --cloud doctor` is to do: no host here is anybody's.
        [ "$c" != doctor ] || cat >>"$STATE/clouds.yaml" <<-EOF
		    doctor_verify:
		      fail: env OPENSTACK_TESTBED=$STATE $HERE/host kill {host}
		      recover: env OPENSTACK_TESTBED=$STATE $HERE/host start {host}
		      seconds: 5
		      shared: true
		EOF
        cat >"$STATE/$c.rc" <<-EOF
		unset \${!OS_@}
		export OPENSTACK_TESTBED=$STATE
		export OS_AUTH_URL=http://$TB_IP:$TB_PORT_KEYSTONE/v3 OS_IDENTITY_API_VERSION=3
		export OS_USERNAME=$user OS_PASSWORD=$TB_PASSWORD OS_USER_DOMAIN_NAME=Default
		export OS_PROJECT_NAME=$project OS_PROJECT_DOMAIN_NAME=Default OS_REGION_NAME=$TB_REGION
		export OS_COMPUTE_API_VERSION=2.90
		export TESTBED_AMQP_URL=amqp://openstack:$TB_PASSWORD@$TB_IP:$TB_PORT_AMQP/
		EOF
    done <<-EOF
	admin admin admin
	doctor doctor service
	doctor-least doctor-least service
	tenant-a tenant-a tenant-a
	tenant-b tenant-b tenant-b
	EOF
    chmod 600 "$STATE/clouds.yaml" "$STATE"/*.rc
}
