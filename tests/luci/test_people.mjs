// What a person decides is the person's, and what a person has to know comes first.

import assert from 'node:assert/strict';

import { device, inForce, mitigation, suspect } from './daemon.mjs';
import { CONFIG, card, closed, dialog, eventually, press, says, seen } from './world.mjs';

const now = () => Math.floor(Date.now() / 1000);
const indicator = page => page.locator('#indicators [data-indicator="dots-callhome"]');

export async function a_quarantine_says_that_it_lasts_until_released(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await press(page, 'Quarantine device');
	assert.match(await dialog(page).innerText(), /whatever becomes of the provider’s request/);
	assert.equal(await dialog(page).locator('select option').first().textContent(), 'Until I release it');
	await dialog(page).locator('select[name=lifetime]').selectOption('86400');
	await press(dialog(page), 'Quarantine device');
	await closed(page);
	assert.deepEqual(world.calls('approve'), [ { id: 1, action: 'quarantine', devices: [ '02:00:00:00:00:11' ], lifetime: 86400, until: 'time' } ]);
}

export async function a_block_can_go_on_until_a_person_ends_it(world) {
	world.daemon.mitigations = [ mitigation(1) ];
	const page = await world.open('requests');

	await press(page, 'Block this traffic');
	assert.equal(await dialog(page).locator('select option').first().textContent(), 'While the provider asks (now 57 minutes)');
	await dialog(page).locator('select[name=lifetime]').selectOption('ended');
	await press(dialog(page), 'Block this traffic');
	await closed(page);
	assert.deepEqual(world.calls('approve'), [ { id: 1, action: 'block', devices: [ '02:00:00:00:00:11' ], until: 'ended' } ]);
}

export async function what_goes_on_without_the_provider_says_so(world) {
	world.daemon.mitigations = [ inForce(1, { asked: false, until: 'ended', remaining: 0, action: 'quarantine' }),
		inForce(2, { asked: false, until: 'time', left: 7200, remaining: 0, state: 'stopped', dropped: { packets: 9, bytes: 900, pps: 0, bps: 0, last: now() - 3 * 3600 },
			devices: [ suspect(18, 'exact', { name: 'Old TV' }) ] }) ];
	const page = await world.open('requests');

	await says(page, 'isp no longer asks. The device is still trying: 3.3 Mbit/s (4,200 packets a second).', 'Until you release it',
		'isp no longer asks. Nothing has been tried lately.', '2 hours, whatever the provider does', 'Last attempt 3 hours ago.');
}

export async function what_ends_can_be_kept(world) {
	world.daemon.mitigations = [ inForce(1, { state: 'terminating', remaining: 100 }) ];
	const page = await world.open('requests');

	await press(page, 'Keep it');
	await press(dialog(page), 'Keep it');
	await closed(page);
	assert.deepEqual(world.calls('approve'), [ { id: 1, action: 'block', devices: [ '02:00:00:00:00:11' ], until: 'ended' } ]);
}

export async function who_goes_on_after_the_block_is_asked_about(world) {
	world.daemon.over = [ mitigation(7, { state: 'expired', asked: false, remaining: 0, dropped: { packets: 344586, bytes: 1, pps: 0, bps: 0 } }) ];
	const page = await world.open('requests');

	await says(page, 'isp no longer asks, so the block has ended.', '344,586 packets', 'Not blocked any more');
	assert.doesNotMatch(await seen(page), /Nothing waits/);
	await eventually(async () => assert.equal(await indicator(page).textContent(), 'DDoS Call Home: a block has ended'));
	await press(page, 'Let it go');
	await press(dialog(page), 'Let it go');
	await closed(page);
	assert.deepEqual(world.calls('withdraw'), [ { id: 7 } ]);
	await says(page, 'Nothing waits for you.');
	world.daemon.over = [ mitigation(8, { state: 'expired', asked: false, remaining: 0 }) ];
	await says(page, 'Not blocked any more');
	await press(page, 'Block this traffic');
	assert.equal(await dialog(page).locator('select option').first().textContent(), 'Until I end it');
	await press(dialog(page), 'Block this traffic');
	await closed(page);
	assert.equal(world.calls('approve')[0].until, 'ended');
}

export async function old_figures_are_not_told_as_of_now(world) {
	const old = suspect(17);
	old.evidence[0].seen = now() - 240;
	world.daemon.mitigations = [ mitigation(1, { devices: [ old ] }) ];
	const page = await world.open('requests');

	await says(page, 'When last looked, 4 minutes ago: about 3.3 Mbit/s of your upload (4,200 packets a second) to 203.0.113.80, UDP port 53.');
}

export async function the_worst_comes_first_everywhere(world) {
	world.daemon.mitigations = [ inForce(1, { devices: [ suspect(18) ] }), inForce(2, { verified: false, detail: 'packets still pass' }) ];
	const page = await world.open('requests');

	await says(page, 'A block does not hold: Garage camera', 'Traffic still gets out. packets still pass', 'Restart the device');
	assert.doesNotMatch(await seen(page), /Nothing waits/);
	assert.match(await page.locator('.dots .card').first().innerText(), /Garage camera/);
	await eventually(async () => assert.equal(await indicator(page).textContent(), 'DDoS Call Home: 1 block does not hold'));
	await page.goto(`${world.url}admin/status/overview`);
	await says(page, 'A block does not hold: Garage camera');
}

/* What is wrong stands above all that is only worth a look, and above what is well. */
export async function bad_news_is_on_top(world) {
	world.daemon.peers = [ { name: 'isp', state: 'waiting', since: now() - 4000, retry_in: 40, last_error: 'connection refused' } ];
	world.daemon.notKept = 'No space left on device';
	world.daemon.notRead = 'decisions.cbor: it is too large';
	world.daemon.mitigations = [ mitigation(3), inForce(2, { verified: false, detail: 'packets still pass' }) ];
	const page = await world.open('requests');

	await says(page, /A block does not hold: .*could not be read: .*would not survive a reboot: .*Not connected.*Waiting for your decision.*In force/s);
}

export async function what_the_router_has_noticed_is_told_where_it_is_decided(world) {
	world.daemon.mitigations = [ mitigation(3, { detail: 'another device sends from the address of 02:00:00:00:00:11' }),
		inForce(2, { detail: '192.168.1.22 sends as well under the Ethernet address 02:00:00:00:00:15, and is not blocked' }) ];
	const page = await world.open('requests');

	await says(page, 'another device sends from the address of', 'Verified, but read below', '192.168.1.22 sends as well');
	assert.doesNotMatch(await seen(page), /nothing gets through/);
}

export async function what_is_quarantined_is_released(world) {
	world.daemon.mitigations = [ inForce(1, { action: 'quarantine', until: 'ended', remaining: 0 }) ];
	const page = await world.open('requests');

	await says(page, 'Until you release it');
	await press(page, 'Release');
	await press(dialog(page), 'Release');
	await eventually(() => assert.equal(world.calls('withdraw').length, 1));
}

export async function all_is_well_with_the_name_of_the_provider(world) {
	world.configure(CONFIG + '\toption display_name \'MyISP <b>\'\n\toption help_url \'javascript:alert(1)\'\n\toption help_phone \'+49 30 1234\'\n');
	const page = await world.open('requests');

	await says(page, 'Nothing waits for you.', 'Connected to MyISP <b> since');
	world.daemon.mitigations = [ mitigation(1) ];
	await says(page, 'MyISP <b>, 3 minutes ago', 'Help from MyISP <b>:', '+49 30 1234');
	assert.equal(await page.locator('a[href^="javascript"]').count(), 0);
}

export async function a_service_that_does_not_run_is_told_everywhere(world) {
	const page = await world.open('admin/status/overview');

	await world.daemon.stop();
	await eventually(async () => assert.equal(await indicator(page).textContent(), 'DDoS Call Home: not running'));
	await page.reload();
	await says(page, 'The service is not running');
}

export async function earlier_attacks_are_told_and_can_be_saved(world) {
	world.daemon.incidents = [ { id: 3, peer: 'isp', requested: now() - 7200, ended: now() - 3600, devices: [ { mac: '02:00:00:00:00:11', name: 'Garage camera' } ],
		target: { prefixes: [ '203.0.113.80/32' ], ports: [ '53' ], protocols: [ 17 ] }, action: 'block', decision: { by: 'root', at: now() - 7100 },
		dropped: { packets: 344586, bytes: 1 }, outcome: 'expired' } ];
	const page = await world.open('requests');

	await says(page, 'Earlier attacks', /Garage camera\u2069 sent to 203.0.113.80, UDP port 53 · blocked by root · 344,586 packets stopped · ended by the provider after 60 minutes/);
	assert.match(decodeURIComponent(await page.getByRole('link', { name: 'Save as text' }).getAttribute('href')), /344,586 packets stopped/);
}

export async function the_accused_device_is_first_and_not_green(world) {
	world.daemon.known = [ device(1, { state: 'free', mitigations: [] }), device(17, { name: 'Garage camera', state: 'free', mitigations: [ 1 ] }) ];
	const page = await world.open('devices');

	await says(page, 'Accused: decide');
	assert.match(await page.locator('.dots .card').first().innerText(), /Garage camera/);
}

export async function a_name_needs_no_rule(world) {
	world.daemon.known = [ device(17, { state: 'free', mitigations: [] }) ];
	const page = await world.open('devices');

	await press(page, 'Rule…');
	await dialog(page).locator('input[name=name]').fill('Nursery camera');
	await press(dialog(page), 'Save & Apply');
	await eventually(() => assert.match(world.config(), /option policy 'default'/));
	assert.match(world.config(), /option name 'Nursery camera'/);
}

export async function the_keyboard_stays_in_the_dialog_and_goes_on_to_the_next(world) {
	world.daemon.mitigations = [ mitigation(1), mitigation(2, { devices: [ suspect(18) ] }) ];
	const page = await world.open('requests');
	const inside = () => page.evaluate(() => document.querySelector('#modal_overlay .modal').contains(document.activeElement));

	await press(card(page, 'Garage camera'), 'Block this traffic');
	for (let i = 0; i < 5; i++) {
		await page.keyboard.press(i % 2 ? 'Tab' : 'Shift+Tab');
		assert.ok(await inside(), 'the focus has left the dialog');
	}
	await press(dialog(page), 'Block this traffic');
	await closed(page);
	await eventually(async () => assert.equal(await page.evaluate(() => document.activeElement.tagName), 'BUTTON'));
}

export async function buttons_on_a_phone_are_large_enough(world) {
	world.daemon.mitigations = [ mitigation(1, { devices: [ suspect(18), suspect(19) ] }), inForce(2) ];
	const page = await world.open('requests', { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });

	await says(page, 'device-18');
	const small = await page.evaluate(() => [ ...document.querySelectorAll('.dots :is(.deeds button, summary, .choice label)') ]
		.filter(n => n.offsetParent && n.getBoundingClientRect().height < 44).map(n => n.textContent));
	assert.deepEqual(small, []);
}

export async function the_cure_is_told_and_what_is_done_stays_ticked(world) {
	world.daemon.mitigations = [ inForce(1) ];
	const page = await world.open('requests');

	await page.getByText('Garage camera – probably infected: how to clean it').click();
	await page.getByRole('checkbox', { name: 'Reset it to factory settings.' }).check();
	await page.reload();
	await page.getByText('how to clean it').click();
	assert.ok(await page.getByRole('checkbox', { name: 'Reset it to factory settings.' }).isChecked());
	assert.equal(await page.getByRole('link', { name: 'Search for it' }).getAttribute('href'), 'https://duckduckgo.com/?q=Garage%20camera%20firmware%20update');
}
