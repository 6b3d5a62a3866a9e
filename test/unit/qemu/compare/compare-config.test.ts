import { compareFileSchema, compareSettings } from '../../../../src/qemu/compare/compare-config';

const three = { primary_in: 'unix:/run/p,server', secondary_in: 'tcp:0.0.0.0:9004,server', outdev: 'unix:/run/o' };
const settings = (...entries: object[]) => compareSettings(compareFileSchema.parse({ compare: entries }));

test("QEMU's defaults", () => {
  expect(settings(three)).toMatchObject([
    {
      id: 'comp0',
      notifyDev: undefined,
      qmp: undefined,
      compareTimeoutMs: 'auto',
      maxCompareTimeoutMs: 3000,
      minCheckpointIntervalMs: 100,
      expiredScanCycleMs: 1000,
      maxQueueSize: 1024,
      vnetHeaders: false,
    },
  ]);
});

test.each([
  ['on', true],
  ['off', false],
  [true, true],
  [false, false],
])('vnet_hdr_support %s', (vnet_hdr_support, vnetHeaders) => {
  expect(settings({ ...three, vnet_hdr_support })[0]!.vnetHeaders).toBe(vnetHeaders);
});

test.each([
  ['primary_in missing', { secondary_in: three.secondary_in, outdev: three.outdev }],
  ['compare_timeout 0', { ...three, compare_timeout: 0 }],
  ['compare_timeout in words', { ...three, compare_timeout: 'soon' }],
  ['max_compare_timeout 0', { ...three, max_compare_timeout: 0 }],
  ['min_checkpoint_interval negative', { ...three, min_checkpoint_interval: -1 }],
  ['compare_timeout negative', { ...three, compare_timeout: -1 }],
  ['expired_scan_cycle 0', { ...three, expired_scan_cycle: 0 }],
  ['max_queue_size 0', { ...three, max_queue_size: 0 }],
  ['a fraction', { ...three, compare_timeout: 1.5 }],
  ['vnet_hdr_support yes', { ...three, vnet_hdr_support: 'yes' }],
  ['an unknown key', { ...three, iothread: 'io1' }],
])('%s is refused', (_name, entry) => {
  expect(compareFileSchema.safeParse({ compare: [entry] }).success).toBe(false);
});

test("a wrong time is refused in QEMU's words", () => {
  const { error } = compareFileSchema.safeParse({ compare: [{ ...three, compare_timeout: 0 }] });
  expect(error!.issues[0]!.message).toContain("Property 'colo-compare.compare_timeout' requires a positive value");
});

test.each([
  ['secondary_in', { ...three, secondary_in: 'unix:/run/p' }],
  ['outdev', { ...three, outdev: 'unix:/run/p,reconnect=1' }],
  ['outdev', { ...three, outdev: 'tcp:0.0.0.0:9004' }],
  ['notify_dev', { ...three, notify_dev: 'unix:/run/o,server' }],
  ['qmp', { ...three, qmp: 'unix:/run/o,reconnect=1' }],
])('%s may not be the same as another', (property, entry) => {
  expect(() => settings(entry)).toThrow(`${property} could not be same as`);
});

test('instances share no endpoint and no id', () => {
  expect(() => settings(three, { ...three, id: 'comp1' })).toThrow('comp1: primary_in could not be same as primary_in');
  expect(() => settings(three, three)).toThrow("two comparisons have the id 'comp0'");
});

test('an endpoint that is none is refused', () => {
  expect(() => settings({ ...three, outdev: '/run/o' })).toThrow("endpoint '/run/o'");
});
