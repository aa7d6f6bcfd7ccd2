'use strict';
'require view';
'require dom';
'require fs';
'require poll';

/* As on LuCI's own overview: a section shows what it renders, and keeps that when it renders nothing later. */
return view.extend({
	load: () => fs.list('/www/luci-static/resources/view/status/include').then(files =>
		Promise.all(files.map(f => L.require(`view.status.include.${f.name.replace('.js', '')}`)))),

	render(includes) {
		const boxes = includes.map(() => E('div'));
		const page = E('div', {}, includes.map((include, i) =>
			E('div', { 'class': 'cbi-section', 'style': 'display:none' }, [ E('h3', {}, [ include.title ]), boxes[i] ])));
		const step = () => Promise.all(includes.map(include => include.load())).then(results => results.forEach((result, i) => {
			const content = includes[i].render(result);

			if (content != null) {
				boxes[i].parentNode.style.display = '';
				dom.content(boxes[i], content);
			}
		}));

		poll.add(step);
		return step().then(() => page);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
