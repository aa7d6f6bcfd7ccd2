// The page of settings.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';

import { closed, dialog, eventually, press, says } from './world.mjs';

const PEM = label => `-----BEGIN ${label}-----\nTWFkZSB1cA==\n-----END ${label}-----\n`;

const input = (page, section, option) => {
	const id = `widget.cbid.dots-callhome.${section}.${option}`;

	return page.locator(`[id="${id}"], [data-widget-id="${id}"]`);
};
const tab = (page, name) => page.locator(`.cbi-tabmenu li[data-tab="${name}"] a`).first().click();

async function saved(world, page, pattern) {
	await page.locator('.cbi-button-save').click();
	await page.locator('.cbi-button-apply').first().click();
	await eventually(() => assert.match(world.config(), pattern));
	/* LuCI waits for a while whether the router can still be reached. */
	await closed(page);
}

async function upload(page, option, name, text) {
	await page.locator(`input[data-upload=${option}]`).setInputFiles({ name, mimeType: 'application/x-pem-file', buffer: Buffer.from(text) });
}

export async function what_is_set_reaches_the_configuration(world) {
	const page = await world.open('settings');

	await says(page, 'Who decides');
	await input(page, 'globals', 'consent').selectOption('auto');
	await input(page, 'globals', 'consent_timeout').fill('600');
	await input(page, 'globals', 'timeout_action').selectOption('reject');
	await tab(page, 'limits');
	await input(page, 'globals', 'max_lifetime').fill('7200');
	await input(page, 'isp', 'name').fill('dots.provider.example');
	await tab(page, 'detail');
	await input(page, 'isp', 'port').fill('14647');
	await input(page, 'isp', 'transport').selectOption('tls');
	await saved(world, page, /option consent 'auto'/);
	for (const line of [ 'consent_timeout \'600\'', 'timeout_action \'reject\'', 'max_lifetime \'7200\'', 'name \'dots.provider.example\'',
		'port \'14647\'', 'transport \'tls\'', 'enabled \'1\'' ])
		assert.ok(world.config().includes(`option ${line}`), `${line} is missing:\n${world.config()}`);
}

export async function the_interfaces_of_the_router_are_offered(world) {
	const page = await world.open('settings');
	const options = '[id="cbid.dots-callhome.isp.interface"] li[data-value], [id$="dots-callhome.isp.interface.list"] option';

	await says(page, 'Upstream');
	await eventually(async () => {
		const offered = await page.locator(options).evaluateAll(all => all.map(o => o.getAttribute('data-value') ?? o.value));
		for (const name of [ 'lan', 'wan', 'wan6' ])
			assert.ok(offered.includes(name), offered.join());
		assert.ok(!offered.includes('loopback'));
	});
}

export async function impossible_values_are_not_saved(world) {
	const page = await world.open('settings'), before = world.config();

	for (const [ section, pane, option, value ] of [ [ 'isp', 'call', 'name', 'no name!' ], [ 'isp', 'detail', 'port', '70000' ],
		[ 'isp', 'detail', 'heartbeat_interval', '7' ], [ 'globals', 'limits', 'max_mitigations', '0' ] ]) {
		await tab(page, pane);
		const field = input(page, section, option), good = await field.inputValue();
		await field.fill(value);
		await page.locator('.cbi-button-save').click();
		await eventually(async () => assert.ok(await dialog(page).isVisible(), `${option} ${value} was taken`));
		await dialog(page).getByRole('button').first().click();
		await field.fill(good);
	}
	assert.equal(world.config(), before);
	/* LuCI lets the refusal of a form pass as an unhandled rejection. */
	world.errors = [];
}

export async function only_what_the_kind_of_proof_needs_is_asked_for(world) {
	const page = await world.open('settings');

	await tab(page, 'trust');
	const shown = async () => {
		const names = [ 'ca', 'certificate', 'key', 'peer_key', 'psk_identity', 'psk_file' ];
		const visible = await Promise.all(names.map(n => input(page, 'isp', n).isVisible()));
		return names.filter((_, i) => visible[i]).join(' ');
	};
	for (const [ auth, wanted ] of [ [ 'psk', 'psk_identity psk_file' ], [ 'raw-public-key', 'key peer_key' ], [ 'certificate', 'ca certificate key' ] ]) {
		await input(page, 'isp', 'auth').selectOption(auth);
		await eventually(async () => assert.equal(await shown(), wanted));
	}
}

export async function a_credential_is_uploaded_for_its_owner_only(world) {
	const page = await world.open('settings');

	await tab(page, 'trust');
	await upload(page, 'ca', 'ca.pem', PEM('CERTIFICATE'));
	await says(page, 'Uploaded. It is used once the settings are saved and applied.');
	const file = path.join(world.root, 'etc/dots-callhome/isp-ca.pem');
	assert.equal(fs.readFileSync(file, 'utf8'), PEM('CERTIFICATE'));
	assert.equal(fs.statSync(file).mode & 0o777, 0o600);
	assert.equal(await input(page, 'isp', 'ca').inputValue(), '/etc/dots-callhome/isp-ca.pem');
	await saved(world, page, /option ca '\/etc\/dots-callhome\/isp-ca\.pem'/);
	fs.rmSync(file);
}

export async function the_wrong_file_is_refused_with_the_reason(world) {
	const page = await world.open('settings');

	await tab(page, 'trust');
	await upload(page, 'certificate', 'router.pem', PEM('PRIVATE KEY'));
	await says(page, 'This file contains a PRIVATE KEY, but a CERTIFICATE is needed here.');
	await upload(page, 'certificate', 'router.pem', PEM('CERTIFICATE') + PEM('RSA PRIVATE KEY'));
	await says(page, 'This file also contains a private key');
	await upload(page, 'key', 'router.key', 'hello');
	await says(page, 'This is no PEM file');
	await upload(page, 'key', 'router.key', 'x'.repeat(40000));
	await says(page, 'The file is too large for a credential.');
	assert.deepEqual(fs.readdirSync(path.join(world.root, 'etc/dots-callhome')).filter(f => f.startsWith('isp-')), []);
}

export async function the_connection_is_tested_and_the_reason_of_failure_told(world) {
	world.daemon.peers = [ { name: 'isp', state: 'waiting', retry_in: 40, last_error: 'the certificate is for other.example, not for callhome.isp.example' } ];
	const page = await world.open('settings');

	await says(page, 'Not connected', 'Next attempt in 40 seconds.', 'the certificate is for other.example');
	await press(page, 'Test the connection');
	await says(page, 'Testing…');
	world.daemon.peers = [ { name: 'isp', state: 'connected', transport: 'dtls', address: '[2001:db8::1]:4647', rtt_ms: 8, since: Math.floor(Date.now() / 1000) } ];
	await says(page, 'The test succeeded', 'DTLS · [2001:db8::1]:4647 · answers within 8 ms');
	if (world.own)
		assert.deepEqual(world.inits, [ 'reload' ]);
}

export async function a_connection_that_does_not_come_about_is_told(world) {
	world.daemon.peers = [ { name: 'isp', state: 'waiting', retry_in: 280, last_error: 'connection refused' },
		{ name: 'other', state: 'disabled', last_error: 'option key: there is no such file' } ];
	const page = await world.open('settings');

	await press(page, 'Test the connection');
	await says(page, 'Testing…', 'This provider is not called: see the reason above.');
	await page.clock.setSystemTime(Date.now() + 60000);
	await says(page, 'No connection came about.', 'connection refused', 'option key: there is no such file');
}

export async function a_provider_can_be_added(world) {
	world.configure('config globals \'globals\'\n\toption enabled \'0\'\n');
	world.daemon.peers = [];
	const page = await world.open('settings');

	await says(page, 'No provider is set up yet: add one below.');
	await page.locator('.cbi-section-create-name').first().pressSequentially('home');
	await press(page, 'Add a provider');
	await eventually(() => input(page, 'home', 'name').waitFor());
	await input(page, 'home', 'name').fill('callhome.isp.example');
	await input(page, 'globals', 'enabled').check();
	await saved(world, page, /config peer 'home'/);
	assert.match(world.config(), /option name 'callhome.isp.example'/);
	assert.match(world.config(), /option auth 'certificate'/);
	assert.match(world.config(), /option enabled '1'/);
}

export async function one_file_of_the_provider_is_shown_and_then_taken_over(world) {
	if (!world.own)
		return 'skipped';
	const page = await world.open('settings');
	const choose = text => page.locator('input[data-upload=profile]').setInputFiles({ name: 'home.callhome', mimeType: 'text/plain', buffer: Buffer.from(text) });
	const staged = () => fs.readFileSync(path.join(world.root, 'etc/dots-callhome/import.profile'), 'utf8');
	const file = '/etc/dots-callhome/import.profile';

	await says(page, 'Load the file from your provider');
	world.profile = { code: 1, stderr: `${file}: option colour: unknown, or of no use\nnothing has changed\n` };
	await choose('config profile \'isp\'');
	await says(page, 'This file can’t be used, and nothing has changed:', 'option colour: unknown');
	assert.deepEqual(world.programs, [ [ '--check', '--import', file ] ]);
	world.profile = { code: 0, stdout: 'new provider \'isp\': callhome.isp.example (<b>My ISP</b>)\nswitched on\n' };
	await choose('config profile \'isp\'');
	await eventually(async () => assert.match(await dialog(page).innerText(), /callhome\.isp\.example \(<b>My ISP<\/b>\)/));
	assert.equal(staged(), 'config profile \'isp\'');
	await press(dialog(page), 'Take over');
	await eventually(() => assert.deepEqual(world.programs.at(-1), [ '--import', file ]));
	await eventually(() => assert.deepEqual(world.inits, [ 'restart' ]));
	await eventually(() => assert.equal(staged(), '', 'no secret is left'));
}

export async function how_people_are_told_is_set_and_tried(world) {
	const page = await world.open('settings');
	const field = option => page.locator(`[id="widget.cbid.dots-callhome-notify.notify.${option}"], [data-widget-id="widget.cbid.dots-callhome-notify.notify.${option}"]`);

	await says(page, 'How your router reaches you');
	for (const [ option, wrong ] of [ [ 'ntfy', 'a topic' ], [ 'email', 'me' ], [ 'telegram', '123:secret' ], [ 'url', 'file:///etc/shadow' ], [ 'mqtt', 'broker' ] ]) {
		await field(option).fill(wrong);
		await page.locator('.cbi-button-save').click();
		await eventually(async () => assert.ok(await dialog(page).isVisible(), `${option} ${wrong} was taken`));
		await dialog(page).getByRole('button').first().click();
		await field(option).fill('');
	}
	world.errors = [];
	await field('ntfy').fill('https://ntfy.example/my-topic');
	await field('telegram').fill('123:secret/-55');
	await field('language').selectOption('de');
	await page.locator('.cbi-button-save').click();
	await page.locator('.cbi-button-apply').first().click();
	await eventually(() => assert.match(world.ways(), /option telegram '123:secret\/-55'/));
	assert.match(world.ways(), /option ntfy 'https:\/\/ntfy\.example\/my-topic'/);
	assert.match(world.ways(), /option language 'de'/);
	assert.doesNotMatch(world.config(), /ntfy|secret/);
	await closed(page);
	if (!world.own)
		return;
	world.bridge.delivered = 'ntfy sent\ntelegram missing curl\nemail late\nurl wrong\nmqtt failed 7\n';
	await press(page, 'Send a test message');
	await says(page, 'ntfy: sent.', 'Telegram: the router lacks the program curl.', 'E-mail: no answer in time.', 'Web address: this can’t be used as it is.',
		'MQTT: not taken (code 7).');
	world.bridge.delivered = 'none\n';
	await press(page, 'Send a test message');
	await says(page, 'Nothing is set yet. Save and apply first.');
}
