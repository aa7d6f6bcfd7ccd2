'use strict';
'require baseclass';
'require poll';
'require session';
'require ui';
'require dots-callhome.bus as bus';
'require dots-callhome.words as words';
/* global bus, words */

/* Seconds between two looks. */
const INTERVAL = 15;

/* A session lost for so many seconds is worth a word on every page. */
const LONG = 900;

const ID = 'dots-callhome';
const NAME = 'preload.dots-callhome';

/* A login without the right to ask does not ask again. */
let denied = false;

function text(status) {
	const pending = words.count(status.pending);

	if (pending)
		return N_(pending, 'DDoS Call Home: %d request', 'DDoS Call Home: %d requests').format(pending);

	const lost = words.list(status.peers).some(p => (p.state == 'waiting' || p.state == 'connecting') &&
		p.since && bus.now() - p.since > LONG);

	return lost ? _('DDoS Call Home: provider unreachable') : null;
}

/* LuCI finds out once per login which files here to load on every page. It looks below the root of the web server, */
/* but uhttpd does not name that to a LuCI that runs inside of it: then it finds none. So this one adds itself. It */
/* comes in with the overview, which is where a login begins. */
function stay() {
	const known = session.getLocalData('preload');

	if (Array.isArray(known) && !known.includes(NAME))
		session.setLocalData('preload', known.concat(NAME));
}

function look() {
	stay();

	if (denied)
		return Promise.resolve();

	return bus.status().then(text, error => {
		denied = error.kind == 'denied';

		return null;
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
	}
});
