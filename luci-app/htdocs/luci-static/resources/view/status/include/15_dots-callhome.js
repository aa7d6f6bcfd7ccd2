'use strict';
'require baseclass';
'require uci';
'require preload.dots-callhome';
'require dots-callhome.bus as bus';
'require dots-callhome.words as words';
'require dots-callhome.parts as parts';
/* global bus, words, parts */

/* Requests spelt out; the others are counted. */
const SHOWN = 3;

const { el, stranger } = parts;

return baseclass.extend({
	title: _('DDoS Call Home'),

	load() {
		return L.resolveDefault(uci.load('dots-callhome')).then(() => Promise.all([ bus.status(), bus.list() ])).catch(error => error);
	},

	render(replies) {
		const failed = replies instanceof Error ? replies : null;
		const [ status, reply ] = failed ? [ {}, {} ] : replies;
		/* Whoever has it switched on wants to know that it does not run. */
		const down = failed?.kind == 'gone' && uci.get('dots-callhome', 'globals', 'enabled') == '1';
		const leaks = words.leaking(reply.mitigations), over = words.count(status.ended);
		const pending = words.list(reply.mitigations).filter(m => m.state == 'pending');
		const lost = words.lost(status);

		/* The overview keeps what a section has shown once; so an empty one goes out of sight by itself. */
		if (!pending.length && !lost.length && !leaks.length && !over && !down) {
			const section = this.node?.closest('.cbi-section');

			if (section)
				section.style.display = 'none';

			return null;
		}

		return this.node = parts.styled(
			down ? parts.trouble(failed, () => location.reload()) : '',
			leaks.map(m => el('p', {}, parts.mark('bad', ''), el('strong', {}, _('A block does not hold:'), ' ', stranger(words.names(words.list(m.devices).filter(d => d.chosen !== false)))), ' ',
				el('a', { 'href': L.url('admin/services/dots-callhome/requests') }, _('See what helps')))),
			over ? el('p', {}, parts.mark('wait', ''), el('a', { 'href': L.url('admin/services/dots-callhome/requests') },
				N_(over, '%d device was still attacking when its block ended', '%d devices were still attacking when their blocks ended').format(over))) : '',
			pending.length ? el('p', {}, el('strong', {}, N_(pending.length, '%d request waits for your decision', '%d requests wait for your decision').format(pending.length))) : '',
			pending.length ? el('ul', {}, pending.slice(0, SHOWN).map(m => el('li', {},
				el('strong', {}, stranger(words.names(m.devices))), ' – ',
				stranger(m.devices?.length == 1 ? words.doing(m, m.devices[0]) : words.what(m.target))))) : '',
			pending.length ? el('p', {}, el('a', { 'class': 'btn cbi-button cbi-button-action', 'href': L.url('admin/services/dots-callhome/requests') },
				_('Look and decide'))) : '',
			lost.map(p => el('p', {}, el('strong', {}, stranger(words.provider(p.name))), ': ',
				_('The provider can’t be reached since %s.').format(words.date(p.since)),
				p.last_error ? [ ' ', stranger(p.last_error) ] : '')));
	}
});
