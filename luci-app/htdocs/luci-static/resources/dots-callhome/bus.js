'use strict';
'require baseclass';
'require fs';
'require request';
'require rpc';

const OBJECT = 'dots-callhome';

const PROFILE = '/etc/dots-callhome/import.profile';

/* Words for the ways a call can end without a reply: by ubus status, and by what the web server says itself. */
const BY_STATUS = { 2: 'argument', 3: 'gone', 4: 'unknown', 6: 'denied', 7: 'late', 8: 'state', 10: 'gone' };
const BY_ERROR = { '-32000': 'gone', '-32601': 'gone', '-32001': 'session', '-32002': 'denied', '-32003': 'late' };

/* Seconds by which the router's clock is ahead of this browser's. */
let skew = 0;

function failure(kind) {
	const error = new Error(kind);
	error.kind = kind;
	return error;
}

/* LuCI puts the web server's error code into the message only. */
function classify(error) {
	const code = /error (-\d+)/.exec(error.message ?? '');

	if (error.name == 'SessionError')
		return failure('session');

	return failure(code ? (BY_ERROR[code[1]] ?? 'fault') : 'away');
}

/* Each call travels alone: a daemon that is slow to answer must not hold up the rest of the page. */
function method(name, params) {
	const invoke = rpc.declare({ object: OBJECT, method: name, params: params, nobatch: true });

	return (...args) => invoke(...args).then(
		reply => {
			if (typeof(reply) == 'number' && reply != 0)
				throw failure(BY_STATUS[reply] ?? 'fault');

			return L.isObject(reply) ? reply : {};
		},
		error => { throw classify(error); });
}

return baseclass.extend({
	/* Each rejects with an error whose `kind` is one of argument, unknown, state (the daemon's refusals), denied,
	   session (rights), gone (no such object), late, away (no answer), fault. */
	status: method('status'),
	list: method('list'),
	get: method('get', [ 'id' ]),
	approve: method('approve', [ 'id', 'action', 'devices', 'lifetime', 'until' ]),
	reject: method('reject', [ 'id', 'comment' ]),
	withdraw: method('withdraw', [ 'id', 'comment' ]),
	devices: method('devices'),
	quarantine: method('quarantine', [ 'mac', 'lifetime', 'comment' ]),
	release: method('release', [ 'mac' ]),
	history: method('history', [ 'limit' ]),
	vetoes: method('vetoes'),
	ended: method('ended'),
	incidents: method('incidents', [ 'mac' ]),
	lift: method('lift', [ 'id' ]),

	/* Starts, restarts or reloads the service: a login may run just these command lines. */
	service(action) {
		return fs.exec('/etc/init.d/dots-callhome', [ action ]).then(result => {
			if (result.code)
				throw failure('fault');
		});
	},

	/* Puts a profile where the service's own program finds it; an empty one in its place when it is done. */
	stageProfile(text) {
		return fs.write(PROFILE, text, 0o600).catch(error => { throw classify(error); });
	},

	/* Lets the program take over the profile, or tell what that would change. */
	takeProfile(check) {
		return fs.exec('/usr/sbin/dots-callhome', (check ? [ '--check' ] : []).concat('--import', PROFILE)).then(result => {
			if (!result.code)
				return result.stdout ?? '';

			const error = failure('argument');
			error.said = error.words = (result.stderr ?? '').split(PROFILE + ': ').pop();
			throw error;
		});
	},

	/* Sends a test message by all ways that are set; a line for each. */
	testMessage() {
		return fs.exec('/usr/lib/dots-callhome/notify', [ 'test' ]).then(result => result.stdout || 'none', error => { throw classify(error); });
	},

	/* Learns the router's clock from the date the web server puts on a file. */
	readClock() {
		const asked = Date.now();

		return request.request(L.resource('dots-callhome/bus.js'), { method: 'HEAD' }).then(response => {
			const date = Date.parse(response.headers.get('Date') ?? '');
			const here = (asked + Date.now()) / 2;

			/* The date has whole seconds: less than that is no difference. */
			if (!isNaN(date))
				skew = Math.abs(date - here) > 2000 ? (date - here) / 1000 : 0;
		}).catch(() => {});
	},

	/* Seconds since 1970 by the router's clock. */
	now() {
		return Date.now() / 1000 + skew;
	},

	/* Seconds by which the router's clock is ahead. */
	skew() {
		return skew;
	}
});
