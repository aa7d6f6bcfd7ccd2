'use strict';
'require baseclass';
'require preload.dots-callhome';
'require dots-callhome.bus as bus';
'require dots-callhome.words as words';
'require dots-callhome.parts as parts';
/* global bus, words, parts */

/* A session lost for so many seconds is worth a word here. */
const LONG = 900;

/* Requests spelt out; the others are counted. */
const SHOWN = 3;

const { el, stranger } = parts;

return baseclass.extend({
	title: _('DDoS Call Home'),

	load() {
		return Promise.all([ bus.status(), bus.list() ]).catch(() => null);
	},

	render(replies) {
		const [ status, reply ] = replies ?? [ {}, {} ];
		const pending = words.list(reply.mitigations).filter(m => m.state == 'pending');
		const lost = words.list(status.peers).filter(p => (p.state == 'waiting' || p.state == 'connecting') &&
			p.since && bus.now() - p.since > LONG);

		/* The overview keeps what a section has shown once; so an empty one goes out of sight by itself. */
		if (!pending.length && !lost.length) {
			const section = this.node?.closest('.cbi-section');

			if (section)
				section.style.display = 'none';

			return null;
		}

		return this.node = parts.styled(
			pending.length ? el('p', {}, el('strong', {}, N_(pending.length, '%d request waits for your decision', '%d requests wait for your decision').format(pending.length))) : '',
			pending.length ? el('ul', {}, pending.slice(0, SHOWN).map(m => el('li', {},
				el('strong', {}, stranger(words.names(m.devices))), ' – ',
				stranger(m.devices?.length == 1 ? words.doing(m, m.devices[0]) : words.what(m.target))))) : '',
			pending.length ? el('p', {}, el('a', { 'class': 'btn cbi-button cbi-button-action', 'href': L.url('admin/services/dots-callhome/requests') },
				_('Look and decide'))) : '',
			lost.map(p => el('p', {}, el('strong', {}, stranger(p.name)), ': ',
				_('The provider can’t be reached since %s.').format(words.date(p.since)),
				p.last_error ? [ ' ', stranger(p.last_error) ] : '')));
	}
});
