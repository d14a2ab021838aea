// list: the calibrations bundled with the engine, as data. Made by `npm run calibrate -- --model NAME`; models/README.md says more.

export interface BundledCalibration {
  /** SHA-256 of the model's file, hexadecimal. */
  readonly model: string;
  /** In this repository, also served beside the page. */
  readonly path: string;
}

export const calibrations: readonly BundledCalibration[] = [
  { model: "7ee4a559731a7b1fb8649c0146316f4313b5d12dcaaa5b4af9bfd04ae4abd2e0", path: "models/calibrations/tiny.calibration" },
  { model: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", path: "models/calibrations/smollm2-135m.calibration" },
];
