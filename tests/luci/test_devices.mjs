// The page of devices.

import assert from 'node:assert/strict';

import { device } from './daemon.mjs';
import { card, closed, dialog, eventually, press, says, seen } from './world.mjs';

const HOME = () => [
	device(17, { name: 'Garage camera', state: 'blocked', mitigations: [ 1 ], dropped: { packets: 251220, bytes: 25122000 } }),
	device(18, { name: 'Kids tablet', state: 'free', mitigations: [] }), device(19, { name: '', state: 'quarantined', mitigations: [] }),
	device(20, { name: 'Alarm', state: 'exempt', mitigations: [] }) ];

export async function every_device_is_shown_with_its_state(world) {
	world.daemon.known = HOME();
	const page = await world.open('devices');

	await says(page, 'Garage camera', 'Traffic blocked', 'Dropped: 251,220 packets (25.1 MB)', '1 request is about it', 'Kids tablet', 'Free', 'Never touched');
	await says(page, /192\.168\.1\.19\s+Quarantined/);
	const text = await seen(page);
	assert.ok(text.indexOf('Quarantined') < text.indexOf('Traffic blocked') && text.indexOf('Traffic blocked') < text.indexOf('Kids tablet'),
		'what needs attention comes first');
	assert.equal(await card(page, 'Alarm').getByRole('button', { name: 'Quarantine' }).count(), 0, 'exempt devices are never touched');
}

export async function a_device_is_quarantined_and_released(world) {
	world.daemon.known = HOME();
	const page = await world.open('devices');

	await press(card(page, 'Kids tablet'), 'Quarantine');
	await dialog(page).locator('select[name=lifetime]').selectOption('86400');
	await dialog(page).locator('input[name=comment]').fill('until it is reset');
	await press(dialog(page), 'Quarantine device');
	await closed(page);
	assert.deepEqual(world.calls('quarantine'), [ { mac: '02:00:00:00:00:12', lifetime: 86400, comment: 'until it is reset' } ]);
	await eventually(async () => assert.match(await card(page, 'Kids tablet').innerText(), /Quarantined/));
	await press(card(page, 'Kids tablet'), 'Release');
	await press(dialog(page), 'Release');
	await closed(page);
	assert.deepEqual(world.calls('release'), [ { mac: '02:00:00:00:00:12' } ]);
	await eventually(async () => assert.match(await card(page, 'Kids tablet').innerText(), /Free/));
}

export async function a_standing_rule_is_written_to_the_configuration(world) {
	world.daemon.known = HOME();
	const page = await world.open('devices');

	await press(card(page, 'Kids tablet'), 'Rule…');
	await dialog(page).getByRole('radio', { name: /Act without asking/ }).check();
	await dialog(page).locator('input[name=name]').fill('Tablet of the kids');
	await press(dialog(page), 'Save & Apply');
	await eventually(() => assert.match(world.config(), /config device[^]*option mac '02:00:00:00:00:12'[^]*option policy 'auto'/));
	assert.match(world.config(), /option name 'Tablet of the kids'/);
	assert.match(world.config(), /config peer 'isp'/, 'everything else is kept');
	await closed(page);
	await eventually(async () => assert.match(await card(page, 'Kids tablet').innerText(), /Rule: Act without asking/));
	/* And taken back. */
	await press(card(page, 'Kids tablet'), 'Rule…');
	assert.ok(await dialog(page).getByRole('radio', { name: /Act without asking/ }).isChecked());
	await dialog(page).getByRole('radio', { name: /As set for all devices/ }).check();
	await press(dialog(page), 'Save & Apply');
	/* The name stays, as long as it is not taken back too. */
	await eventually(() => assert.match(world.config(), /option policy 'default'\n\toption name 'Tablet of the kids'/));
	await closed(page);
	await press(card(page, 'Kids tablet'), 'Rule…');
	await dialog(page).locator('input[name=name]').fill('');
	await press(dialog(page), 'Save & Apply');
	await eventually(() => assert.doesNotMatch(world.config(), /config device/));
	await closed(page);
}

export async function among_many_devices_one_can_search(world) {
	world.daemon.known = Array.from({ length: 12 }, (_, i) => device(i + 20, { state: 'free' }));
	const page = await world.open('devices');

	await page.getByRole('searchbox').fill('device-31');
	await eventually(async () => assert.equal(await page.locator('.dots .card').count(), 1));
	await page.getByRole('searchbox').fill('192.168.1.2');
	await eventually(async () => assert.equal(await page.locator('.dots .card').count(), 10));
	await page.getByRole('searchbox').fill('nobody');
	await says(page, 'No device matches.');
}
