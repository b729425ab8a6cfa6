var p = JSON.parse(value), r = new HttpRequest();
function utc(date, time) {
    var d = date.split('.'), t = time.split(':');
    return new Date(d[0], d[1] - 1, d[2], t[0], t[1], t[2]).toISOString();
}
r.addHeader('Content-Type: application/json');
r.addHeader('Authorization: Bearer ' + p.token);
var over = p.value === '0';
var answer = r.post(p.url + '/v1/monitors/zabbix', JSON.stringify({
    event_id: p.event_id,
    value: p.value,
    host: p.host,
    name: p.name,
    nseverity: p.nseverity,
    time: over ? utc(p.recovery_date, p.recovery_time) : utc(p.event_date, p.event_time),
    tags: p.tags,
    trigger_id: p.trigger_id,
    opdata: p.opdata
}));
if (r.getStatus() < 200 || r.getStatus() > 299) {
    throw 'Doctor answered ' + r.getStatus() + ': ' + answer;
}
return 'OK';
