'use strict';
'require baseclass';
'require poll';
'require session';
'require uci';
'require ui';
'require dots-callhome.bus as bus';
'require dots-callhome.words as words';
/* global bus, words */

/* Seconds between two looks. */
const INTERVAL = 15;

const ID = 'dots-callhome';
const NAME = 'preload.dots-callhome';

/* A login without the right to ask does not ask again. */
let denied = false;

/* How often in a row nobody has answered: a reload takes the daemon off the bus for a moment. */
let gone = 0;

function text(status) {
	const pending = words.count(status.pending), leaking = words.count(status.leaking);

	if (leaking)
		return N_(leaking, 'DDoS Call Home: %d block does not hold', 'DDoS Call Home: %d blocks do not hold').format(leaking);

	if (pending)
		return N_(pending, 'DDoS Call Home: %d request', 'DDoS Call Home: %d requests').format(pending);

	if (words.count(status.ended))
		return _('DDoS Call Home: a block has ended');

	return words.lost(status).length ? _('DDoS Call Home: provider unreachable') : null;
}

/* LuCI finds out once per login which files here to load on every page. It looks below the root of the web server, */
/* but uhttpd does not name that to a LuCI that runs inside of it: then it finds none. So this one adds itself. It */
/* comes in with the overview, which is where a login begins. */
function stay() {
	const known = session.getLocalData('preload');

	if (Array.isArray(known) && !known.includes(NAME))
		session.setLocalData('preload', known.concat(NAME));
}

/* Where the service is switched on, but does not run. */
function missing() {
	return L.resolveDefault(uci.load('dots-callhome')).then(() =>
		uci.get('dots-callhome', 'globals', 'enabled') == '1' ? _('DDoS Call Home: not running') : null);
}

function look() {
	stay();

	if (denied)
		return Promise.resolve();

	return bus.status().then(status => {
		gone = 0;

		return text(status);
	}, error => {
		denied = error.kind == 'denied';
		gone = error.kind == 'gone' ? gone + 1 : 0;

		return gone > 1 ? missing() : null;
	}).then(label => {
		if (label)
			ui.showIndicator(ID, label, () => { location.href = L.url('admin/services/dots-callhome'); });
		else
			ui.hideIndicator(ID);
	});
}

return baseclass.extend({
	__init__() {
		/* Nobody waits for this: the page must not come later because of it. */
		bus.readClock().then(look);
		poll.add(look, INTERVAL);
	},

	look: look
});
