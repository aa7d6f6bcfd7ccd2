'use strict';
'require baseclass';
'require ui';
'require poll';
'require uci';
'require dots-callhome.bus as bus';
'require dots-callhome.words as words';
/* global bus, words */

/* How often the daemon is asked, in seconds. */
const INTERVAL = 5;

/* A reload takes the daemon off the bus for a moment: no reason to alarm anybody. */
const PATIENCE = 15;

/* Samples a chart shows: five minutes. */
const SAMPLES = 300 / INTERVAL;

const SVG = 'http://www.w3.org/2000/svg';

/* Colours come from the theme or are mixed from its text colour, so light and dark follow by themselves. */
const STYLE = [
	'.dots { --line: var(--border-color-medium, rgba(128,128,128,.35)); --good: var(--success-color-high, #1a8a50);',
	' --bad: var(--error-color-high, #c8321f); --wait: var(--warn-color-high, #b8860b); overflow-wrap: anywhere }',
	'.dots h3 { display: flex; flex-wrap: wrap; gap: .5em; align-items: baseline }',
	'.dots li { color: inherit }',
	'.dots .plain { list-style: none; margin: 0; padding: 0 }',
	'.dots .card { border: 1px solid var(--line); border-radius: 6px; padding: 1em; margin: 0 0 1em }',
	'.dots .card.wait { border-color: var(--wait); border-width: 2px }',
	'.dots .card > :last-child { margin-bottom: 0 }',
	'.dots .head { display: flex; flex-wrap: wrap; gap: .25em 1em; align-items: baseline; margin: 0 0 .25em }',
	'.dots .head h4 { flex: 1 1 8em; margin: 0; font-size: 1.15em; line-height: 1.35 }',
	'.dots .mark { white-space: nowrap; font-weight: bold }',
	'.dots .mark::before { content: ""; display: inline-block; width: .6em; height: .6em; border-radius: 50%;',
	' margin-inline-end: .4em; background: currentColor; opacity: .55 }',
	'.dots .mark.good::before { background: var(--good); opacity: 1 }',
	'.dots .mark.bad::before { background: var(--bad); opacity: 1 }',
	'.dots .mark.wait::before { background: var(--wait); opacity: 1 }',
	'.dots .faint { opacity: .75 }',
	'.dots .small { font-size: .92em }',
	'.dots p { margin: 0 0 .6em }',
	'.dots .lead { font-size: 1.08em; margin: .5em 0 .75em }',
	'.dots .facts { display: grid; grid-template-columns: max-content 1fr; gap: .25em 1em; margin: 0 0 .8em }',
	'.dots .facts dt { opacity: .75; font-weight: normal; margin: 0 }',
	'.dots .facts dd { margin: 0; min-width: 0 }',
	'.dots details { margin: 0 0 .8em }',
	'.dots summary { cursor: pointer; padding: .3em 0 }',
	'.dots .deeds { display: flex; flex-wrap: wrap; gap: .5em; margin-top: .75em }',
	'.dots .deeds .btn, .dots .deeds .cbi-button { margin: 0; min-height: 2.6em; white-space: normal }',
	'.dots .choice { display: flex; gap: .75em; align-items: baseline; border-top: 1px solid var(--line); padding: .75em 0 0;',
	' margin: 0 0 .75em }',
	'.dots .choice > :last-child { flex: 1; min-width: 0 }',
	'.dots .choice p:last-child, .dots .choice details { margin-bottom: 0 }',
	'.dots .flows { margin: .25em 0 0; padding: 0; list-style: none }',
	'.dots .flows li { border-inline-start: 3px solid var(--line); padding-inline-start: .75em; margin: 0 0 .6em }',
	'.dots .flows code { white-space: normal; background: none; border: 0; padding: 0; color: inherit }',
	'.dots figure { margin: 0 0 .8em } .dots figcaption { margin-top: .2em }',
	'.dots .chart { display: block; width: 100%; max-width: 30em; height: 48px; color: var(--bad);',
	' border-bottom: 1px solid var(--line) }',
	'.dots .row { display: flex; flex-wrap: wrap; gap: .5em 1em; align-items: center }',
	'.dots .row > :first-child { flex: 1 1 20em; min-width: 0 } .dots .row .deeds { margin-top: 0 }',
	'.dots .row .head h4 { flex: 0 1 auto }',
	'.dots .log li { display: grid; grid-template-columns: 10em 1fr; gap: 0 1em; padding: .5em 0; border-top: 1px solid var(--line) }',
	'.dots .log li:first-child { border-top: 0 }',
	'.dots .log li.line { display: block }',
	'.dots .more { margin: 0 0 1em }',
	'.dots .stale { opacity: .6 }',
	'.dots .said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }',
	'.dots label.field { display: block; margin: 0 0 .9em }',
	'.dots label.field > span { display: block; margin: 0 0 .25em }',
	'.dots label.field input, .dots label.field select { width: 100%; max-width: 30em; box-sizing: border-box }',
	'.dots label.pick { display: flex; gap: .6em; align-items: baseline; margin: 0 0 .7em; cursor: pointer }',
	'.dots .choice input { width: 1.4em; height: 1.4em; flex: none } .dots .choice label { display: block; cursor: pointer }',
	'.dots .headline { font-weight: bold } .dots .headline:focus { outline: none }',
	'.dots .after { padding-inline-start: 1.2em; margin: 0 0 1em }',
	'.dots .after li { margin: 0 0 .35em }',
	'@media (max-width: 600px) {',
	' .dots .card { padding: .75em }',
	' .dots .facts { grid-template-columns: 1fr; gap: 0 }',
	' .dots .facts dd { margin: 0 0 .4em }',
	' .dots .log li { grid-template-columns: 1fr }',
	' .dots .deeds .btn, .dots .deeds .cbi-button, .dots .button-row .btn, .dots summary, .dots .choice label { min-height: 44px }',
	' .dots label.field input, .dots label.field select { min-height: 44px }',
	' .dots .card:not(.row) .deeds .cbi-button { flex: 1 1 100% }',
	'}'
].join('\n');

/* LuCI takes a child that is a lone string for markup; in a list it is text. So everything goes through here. */
function el(tag, attributes, ...children) {
	return E(tag, attributes ?? {}, children.flat(Infinity));
}

/* Text of strangers: kept from rearranging what stands beside it. */
function stranger(text) {
	return el('bdi', {}, text ?? '');
}

function styled(...children) {
	return el('div', { 'class': 'dots' }, el('style', {}, STYLE), children);
}

function mark(kind, text) {
	return el('span', { 'class': 'mark ' + kind }, text);
}

function facts(...pairs) {
	return el('dl', { 'class': 'facts' },
		pairs.filter(Boolean).map(([ term, value ]) => [ el('dt', {}, term), el('dd', {}, value) ]).flat());
}

function notice(kind, ...children) {
	return el('div', { 'class': 'alert-message ' + kind, 'role': 'status' }, children);
}

/* A button; `act` may return a promise. Without the right to act it stands there, but dead. */
function button(style, label, act, disabled) {
	return el('button', {
		'class': 'btn cbi-button ' + style,
		'type': 'button',
		'disabled': disabled ? '' : null,
		'click': act
	}, label);
}

/* A line that readers of the screen are told when it changes. */
const announcer = el('div', { 'class': 'said', 'role': 'status', 'aria-live': 'polite' });

function announce(text) {
	announcer.textContent = text;
}

/* What was focused is gone: the next one is at hand. */
function focusNext() {
	(document.querySelector('.dots .card button:not(:disabled)') ?? document.querySelector('.dots .headline'))?.focus();
}

/* Asks before something is done. `act` gets the dialog's form values by name, and does it. */
function confirm(title, body, label, style, act) {
	const opener = document.activeElement;
	const complaint = el('div', { 'role': 'alert' });
	const form = el('form', {}, body);

	const close = () => {
		document.removeEventListener('keydown', keep, true);
		ui.hideModal();
		if (opener?.isConnected)
			opener.focus();
		else
			focusNext();
	};

	const go = event => {
		event.preventDefault();
		yes.disabled = true;
		yes.classList.add('spinning');
		complaint.replaceChildren();

		return act(Object.fromEntries(new FormData(form))).then(close, error => {
			complaint.replaceChildren(notice('error', el('p', {}, error.words ?? words.problem(error))));
			/* What can't succeed any more is not offered again. */
			yes.disabled = [ 'state', 'unknown', 'denied', 'session' ].includes(error.kind);
			yes.classList.remove('spinning');
		});
	};

	/* Nothing behind a dialog is to be reached. */
	const keep = event => {
		const all = [ ...dialog.querySelectorAll('button, input, select, a[href]') ].filter(n => !n.disabled);
		const edge = event.shiftKey ? all[0] : all[all.length - 1];

		if (event.key == 'Escape') {
			event.preventDefault();
			event.stopPropagation();
			close();
		}
		else if (event.key == 'Tab' && (document.activeElement == edge || !dialog.contains(document.activeElement))) {
			event.preventDefault();
			(event.shiftKey ? all[all.length - 1] : all[0])?.focus();
		}
	};

	const no = button('cbi-button-neutral', _('Cancel'), close);
	const yes = button(style, label, go);

	form.addEventListener('submit', go);
	form.append(complaint, el('div', { 'class': 'right button-row' }, no, ' ', yes));

	/* The title is a text of ours, never a stranger's: LuCI takes it for markup. */
	const dialog = ui.showModal(title, [ styled(form) ]);
	dialog.setAttribute('role', 'dialog');
	dialog.setAttribute('aria-modal', 'true');
	dialog.setAttribute('aria-label', title);
	document.addEventListener('keydown', keep, true);
	no.focus();
}

function field(label, control) {
	return el('label', { 'class': 'field' }, el('span', {}, label), control);
}

function comment() {
	return field(_('Note for the history and the provider (optional)'),
		el('input', { 'type': 'text', 'class': 'cbi-input-text', 'name': 'comment', 'maxlength': 256 }));
}

/* For how long; without a request of a provider, or beyond it, until somebody ends it. */
function lifetime(...wholes) {
	return field(_('For how long'), el('select', { 'name': 'lifetime', 'class': 'cbi-input-select' },
		wholes.map(([ value, label ]) => el('option', { 'value': value }, label)),
		[ 3600, 6 * 3600, 86400, 7 * 86400 ].map(s => el('option', { 'value': s }, words.span(s)))));
}

/* The optional arguments of a call from a dialog's form. */
function chosen(values) {
	return {
		comment: values.comment?.trim() || undefined,
		lifetime: +values.lifetime || undefined,
		until: +values.lifetime ? 'time' : values.lifetime || undefined
	};
}

function afterwards(...lines) {
	return [ el('p', {}, el('strong', {}, _('Afterwards'))),
		el('ul', { 'class': 'after' }, lines.filter(Boolean).map(line => el('li', {}, line))) ];
}

/* Dropped packets a second over the last minutes, as seen since this page was opened. */
function chart() {
	const samples = [];
	const svg = document.createElementNS(SVG, 'svg');
	const area = document.createElementNS(SVG, 'path');

	svg.setAttribute('class', 'chart');
	svg.setAttribute('viewBox', '0 0 ' + (SAMPLES - 1) + ' 100');
	svg.setAttribute('preserveAspectRatio', 'none');
	svg.setAttribute('role', 'img');
	area.setAttribute('fill', 'currentColor');
	area.setAttribute('fill-opacity', '.5');
	svg.append(area);

	const figure = el('figure', { 'hidden': '' }, svg,
		el('figcaption', { 'class': 'small faint' }, _('Dropped packets a second, at most the last five minutes')));

	return {
		node: figure,
		add(rate) {
			samples.push(words.count(rate));
			samples.splice(0, samples.length - SAMPLES);

			const top = Math.max(1, ...samples), first = SAMPLES - samples.length;
			const points = samples.map((s, i) => 'L' + (first + i) + ' ' + (100 - 95 * s / top).toFixed(1));

			area.setAttribute('d', 'M' + first + ' 100' + points.join('') + 'L' + (SAMPLES - 1) + ' 100');
			figure.hidden = samples.length < 2 || top == 1;
			svg.setAttribute('aria-label',
				_('Dropped packets a second over the last minutes: now %s, at most %s.').format(
					words.number(rate), words.number(top)));
		}
	};
}

function settingsLink(label) {
	return el('a', { 'href': L.url('admin/services/dots-callhome/settings') }, label);
}

/* What a person needs to know when the daemon does not answer, and can do about it. */
function trouble(error, again) {
	const start = () => bus.service('start').then(again, () => {
		ui.addNotification(null, [ el('p', {}, _('The service could not be started; the system log says why.')) ], 'error');
	});

	switch (error.kind) {
	case 'gone':
		if (uci.get('dots-callhome', 'globals', 'enabled') != '1')
			return notice('warning', el('h4', {}, _('DDoS Call Home is switched off')),
				el('p', {}, _('Requests of your provider do not reach this router.')),
				el('p', {}, settingsLink(_('Switch it on in the settings'))));

		return notice('error', el('h4', {}, _('The service is not running')),
			el('p', {}, _('Blocks that are in force stay until they time out. New requests do not reach this router.')),
			L.hasViewPermission() ? el('p', {}, button('cbi-button-action', _('Start the service'), start)) : '');
	case 'denied':
		return notice('warning', el('p', {}, _('Your login has no right to see this.')));
	case 'session':
		return notice('warning', el('p', {}, _('Your login has expired. Please log in again.')));
	default:
		return notice('error', el('h4', {}, _('The router does not answer')),
			el('p', {}, _('Trying again every few seconds. What is shown below may be outdated.')));
	}
}

/* A page that keeps itself up to date: `load` asks the daemon, `show` gets the answer, `body` is what it fills. */
function live(load, show, body) {
	const problem = el('div', {});
	let shown = 0, asked = 0;

	const succeed = data => {
		shown = Date.now();
		problem.replaceChildren();
		body.hidden = false;
		body.classList.remove('stale');

		const focused = body.contains(document.activeElement) ? document.activeElement : null;

		show(data);
		if (focused && !focused.isConnected)
			focusNext();
	};

	const fail = error => {
		const brief = error.kind == 'gone' && Date.now() - shown < PATIENCE * 1000;

		body.classList.toggle('stale', shown > 0);
		body.hidden = !shown || (error.kind == 'gone' && !brief) || error.kind == 'denied';
		problem.replaceChildren(brief
			? notice('', el('p', { 'class': 'spinning' }, _('The service is restarting…')))
			: trouble(error, refresh));
	};

	const refresh = () => {
		const turn = ++asked;

		/* An answer that a later one has overtaken is old. */
		return load().then(data => { if (turn == asked) succeed(data); }, error => {
			if (!error.kind)
				throw error;
			if (turn == asked)
				fail(error);
		});
	};

	poll.add(refresh, INTERVAL);

	return { node: styled(announcer, problem, body), refresh: refresh };
}

return baseclass.extend({
	el: el,
	stranger: stranger,
	styled: styled,
	mark: mark,
	facts: facts,
	notice: notice,
	button: button,
	announce: announce,
	confirm: confirm,
	field: field,
	comment: comment,
	lifetime: lifetime,
	chosen: chosen,
	afterwards: afterwards,
	chart: chart,
	settingsLink: settingsLink,
	trouble: trouble,
	live: live
});
