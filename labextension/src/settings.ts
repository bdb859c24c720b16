/**
 * What a person has set, as it is now.
 */
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { type ISignal, Signal } from '@lumino/signaling';
import type { ISettings } from './context';

/** The settings of plugin `id`; the defaults where they cannot be read. */
export async function settingsOf(
  registry: ISettingRegistry,
  id: string
): Promise<ISettings & { readonly changed: ISignal<object, void> }> {
  const changed = new Signal<object, void>({});
  const current = { defaultProfile: '', confirm: true, side: 'left' as 'left' | 'right' };
  const take = (settings: ISettingRegistry.ISettings) => {
    const { defaultProfile, confirm, side } = settings.composite;
    current.defaultProfile = typeof defaultProfile === 'string' ? defaultProfile : '';
    current.confirm = confirm !== false;
    current.side = side === 'right' ? 'right' : 'left';
    changed.emit();
  };
  try {
    const settings = await registry.load(id);
    take(settings);
    settings.changed.connect(take);
  } catch (reason) {
    console.error(`The settings of ${id} cannot be read.`, reason);
  }
  return {
    changed,
    get defaultProfile() {
      return current.defaultProfile;
    },
    get confirm() {
      return current.confirm;
    },
    get side() {
      return current.side;
    }
  };
}
