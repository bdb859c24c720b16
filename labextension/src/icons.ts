import { LabIcon } from '@jupyterlab/ui-components';
import ray from '../style/icons/ray.svg';

/** A head and its workers. */
export const rayIcon = new LabIcon({ name: 'jupyter-kuberay:ray', svgstr: ray });
