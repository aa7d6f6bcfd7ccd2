'use strict';
'require view';

/* A page of somebody else's. */
return view.extend({
	render: () => E('h2', {}, [ 'Processes' ]),
	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
